// Original file: proto/nri/v1alpha1/api.proto


export interface OptionalFileMode {
  'value'?: (number);
}

export interface OptionalFileMode__Output {
  'value': (number);
}
