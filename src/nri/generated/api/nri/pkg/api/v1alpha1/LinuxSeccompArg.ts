// Original file: proto/nri/v1alpha1/api.proto

import type { Long } from '@grpc/proto-loader';

export interface LinuxSeccompArg {
  'index'?: (number);
  'value'?: (number | string | Long);
  'value_two'?: (number | string | Long);
  'op'?: (string);
}

export interface LinuxSeccompArg__Output {
  'index': (number);
  'value': (string);
  'value_two': (string);
  'op': (string);
}
