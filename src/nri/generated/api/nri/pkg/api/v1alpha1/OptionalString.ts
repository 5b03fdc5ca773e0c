// Original file: proto/nri/v1alpha1/api.proto


export interface OptionalString {
  'value'?: (string);
}

export interface OptionalString__Output {
  'value': (string);
}
