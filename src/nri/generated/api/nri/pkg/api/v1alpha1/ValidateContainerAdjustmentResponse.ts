// Original file: proto/nri/v1alpha1/api.proto


export interface ValidateContainerAdjustmentResponse {
  'reject'?: (boolean);
  'reason'?: (string);
}

export interface ValidateContainerAdjustmentResponse__Output {
  'reject': (boolean);
  'reason': (string);
}
