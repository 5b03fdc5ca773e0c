// Original file: proto/nri/v1alpha1/api.proto


export interface OptionalRepeatedString {
  'value'?: (string)[];
}

export interface OptionalRepeatedString__Output {
  'value': (string)[];
}
