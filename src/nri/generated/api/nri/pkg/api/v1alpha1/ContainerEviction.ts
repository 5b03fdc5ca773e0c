// Original file: proto/nri/v1alpha1/api.proto


export interface ContainerEviction {
  'container_id'?: (string);
  'reason'?: (string);
}

export interface ContainerEviction__Output {
  'container_id': (string);
  'reason': (string);
}
