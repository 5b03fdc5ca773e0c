// Original file: proto/nri/v1alpha1/api.proto


export interface ConfigureResponse {
  'events'?: (number);
}

export interface ConfigureResponse__Output {
  'events': (number);
}
