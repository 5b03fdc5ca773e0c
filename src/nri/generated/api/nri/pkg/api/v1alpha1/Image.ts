// Original file: proto/nri/v1alpha1/api.proto


export interface Image {
  'name'?: (string);
  'digest'?: (string);
  'config_digest'?: (string);
}

export interface Image__Output {
  'name': (string);
  'digest': (string);
  'config_digest': (string);
}
