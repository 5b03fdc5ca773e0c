// Original file: proto/nri/v1alpha1/api.proto


export interface RunPodSandboxResponse {
}

export interface RunPodSandboxResponse__Output {
}
