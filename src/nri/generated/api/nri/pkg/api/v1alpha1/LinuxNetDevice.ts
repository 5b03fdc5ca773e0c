// Original file: proto/nri/v1alpha1/api.proto


export interface LinuxNetDevice {
  'name'?: (string);
}

export interface LinuxNetDevice__Output {
  'name': (string);
}
