// Original file: proto/nri/v1alpha1/api.proto


export interface OptionalInt32 {
  'value'?: (number);
}

export interface OptionalInt32__Output {
  'value': (number);
}
