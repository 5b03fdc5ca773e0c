/**
 * A certificate that the daemon makes for itself, for a streaming server with TLS and no files: an ECDSA key and an
 * X.509 certificate signed with it, valid from an hour ago for a year. It lives in memory and is new at each start.
 *
 * Node reads certificates and does not write them, so the few structures of one (RFC 5280) are written here.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";

export interface CertifiedKey {
  /** PEM. */
  certificate: string;
  key: string;
}

const VALID_MS = 365 * 24 * 3600 * 1000;
const CLOCK_SKEW_MS = 3600 * 1000;

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;

/** @param addresses names and IP addresses that the certificate is for. */
export function makeCertificate(commonName: string, addresses: readonly string[]): CertifiedKey {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = der(SEQUENCE, objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)); // ecdsa-with-SHA256
  const attribute = der(SEQUENCE, objectId(0x55, 0x04, 0x03), der(UTF8_STRING, Buffer.from(commonName)));
  const name = der(SEQUENCE, der(SET, attribute));
  const now = Date.now();
  const keyInfo = publicKey.export({ type: "spki", format: "der" });
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and of full length
  const body = der(
    SEQUENCE,
    der(0xa0, der(INTEGER, Buffer.of(2))), // version 3
    der(INTEGER, serial),
    algorithm,
    name,
    der(SEQUENCE, time(now - CLOCK_SKEW_MS), time(now + VALID_MS)),
    name,
    keyInfo,
    der(0xa3, der(SEQUENCE, alternativeNames(addresses), serverUsage(), keyIdentifier(keyInfo))),
  );
  const signature = der(BIT_STRING, Buffer.of(0), sign("sha256", body, privateKey));
  const certificate = der(SEQUENCE, body, algorithm, signature);
  const lines = certificate.toString("base64").replaceAll(/(.{64})/g, "$1\n");
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function objectId(...bytes: number[]): Buffer {
  return der(OBJECT_ID, Buffer.from(bytes));
}

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return der(GENERALIZED_TIME, Buffer.from(text));
}

function extension(id: Buffer, value: Buffer): Buffer {
  return der(SEQUENCE, id, der(OCTET_STRING, value));
}

function alternativeNames(addresses: readonly string[]): Buffer {
  const names = addresses.map((address) =>
    isIP(address) === 0 ? der(0x82, Buffer.from(address)) : der(0x87, addressBytes(address)),
  );
  return extension(objectId(0x55, 0x1d, 0x11), der(SEQUENCE, ...names));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail = ""] = address.split("::");
  const words = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16));
  const [before, after] = [words(head), words(tail)];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return Buffer.from([...before, ...zeros, ...after].flatMap((word) => [word >>> 8, word & 0xff]));
}

/** Extended key usage: serverAuth. */
function serverUsage(): Buffer {
  const usage = objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01);
  return extension(objectId(0x55, 0x1d, 0x25), der(SEQUENCE, usage));
}

function keyIdentifier(keyInfo: Buffer): Buffer {
  const digest = createHash("sha256").update(keyInfo).digest().subarray(0, 20);
  return extension(objectId(0x55, 0x1d, 0x0e), der(OCTET_STRING, digest));
}
