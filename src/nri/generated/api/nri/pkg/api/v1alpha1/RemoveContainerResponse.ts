// Original file: proto/nri/v1alpha1/api.proto


export interface RemoveContainerResponse {
}

export interface RemoveContainerResponse__Output {
}
