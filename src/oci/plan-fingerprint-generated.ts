/** Generated from src/oci/plan.ts by scripts/generate-native-headers.ts; do not edit. */
export const PLAN_FINGERPRINT = 0xd72319de;
