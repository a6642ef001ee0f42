#!/usr/bin/env python3
"""A sigstore of our own, for one signature: makes trusted_root.json and bundle.json beside this file.

Run again only when what is signed changes; needs the package cryptography. Formats: Fulcio certificates, RFC 6962
(signed certificate timestamps, Merkle leaves), Rekor's hashedrekord 0.0.1, signed notes, sigstore's bundle 0.3.
"""
import base64
import datetime
import hashlib
import json
import pathlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PROGRAM = b'#!/bin/sh\necho "tool 1.0"\n'
IDENTITY, ISSUER = "release@example.org", "https://accounts.example.org"
START = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
SIGNED = START + datetime.timedelta(days=1, minutes=2)
HERE = pathlib.Path(__file__).parent


def b64(data):
    return base64.b64encode(data).decode()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def key():
    return ec.generate_private_key(ec.SECP256R1())


def spki(private):
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(private, data):
    return private.sign(data, ec.ECDSA(hashes.SHA256()))


ca, signer, rekor, ctlog = key(), key(), key(), key()
ca_id, rekor_id, ctlog_id = (hashlib.sha256(spki(one)).digest() for one in (ca, rekor, ctlog))

ca_name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "example"), x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
root = (
    x509.CertificateBuilder()
    .subject_name(ca_name)
    .issuer_name(ca_name)
    .public_key(ca.public_key())
    .serial_number(1)
    .not_valid_before(START)
    .not_valid_after(START + datetime.timedelta(days=3650))
    .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    .add_extension(
        x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
    )
    .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca.public_key()), critical=False)
    .sign(ca, hashes.SHA256())
)


def leaf(timestamps):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca_name)
        .public_key(signer.public_key())
        .serial_number(2)
        .not_valid_before(START + datetime.timedelta(days=1))
        .not_valid_after(START + datetime.timedelta(days=1, minutes=10))
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(IDENTITY)]), critical=True)
        # Fulcio's "Issuer (V2)", a UTF8String.
        .add_extension(
            x509.UnrecognizedExtension(
                ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), bytes([0x0C, len(ISSUER)]) + ISSUER.encode()
            ),
            critical=False,
        )
    )
    if timestamps:
        inner = b"\x04" + (bytes([len(timestamps)]) if len(timestamps) < 128 else b"\x81" + bytes([len(timestamps)]))
        oid = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, inner + timestamps), critical=False)
    return builder.sign(ca, hashes.SHA256())


# The log signs the certificate as it is without the log's own word.
tbs = leaf(None).tbs_certificate_bytes
stamp = struct.pack(">Q", int((START + datetime.timedelta(days=1, seconds=1)).timestamp() * 1000))
signed = b"\0\0" + stamp + b"\0\1" + ca_id + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
sct_signature = sign(ctlog, signed)
sct = b"\0" + ctlog_id + stamp + b"\0\0" + b"\4\3" + struct.pack(">H", len(sct_signature)) + sct_signature
timestamps = struct.pack(">H", len(sct) + 2) + struct.pack(">H", len(sct)) + sct
certificate = leaf(timestamps)

digest = hashlib.sha256(PROGRAM).digest()
signature = sign(signer, PROGRAM)
body = canonical(
    {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": digest.hex()}},
            "signature": {
                "content": b64(signature),
                "publicKey": {"content": b64(certificate.public_bytes(serialization.Encoding.PEM))},
            },
        },
    }
)
at = int(SIGNED.timestamp())
promise = sign(
    rekor, canonical({"body": b64(body), "integratedTime": at, "logID": rekor_id.hex(), "logIndex": 0})
)
leaf_hash = hashlib.sha256(b"\0" + body).digest()
note = f"rekor.example.org\n1\n{b64(leaf_hash)}\n"
checkpoint = f"{note}\n\u2014 rekor.example.org {b64(rekor_id[:4] + sign(rekor, note.encode()))}\n"


def valid(start=START):
    return {"start": start.strftime("%Y-%m-%dT%H:%M:%SZ")}


def log(url, private, ident):
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {"rawBytes": b64(spki(private)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid()},
        "logId": {"keyId": b64(ident)},
    }


trusted = {
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [log("https://rekor.example.org", rekor, rekor_id)],
    "certificateAuthorities": [
        {
            "subject": {"organization": "example", "commonName": "ca"},
            "uri": "https://fulcio.example.org",
            "certChain": {"certificates": [{"rawBytes": b64(root.public_bytes(serialization.Encoding.DER))}]},
            "validFor": valid(),
        }
    ],
    "ctlogs": [log("https://ct.example.org", ctlog, ctlog_id)],
    "timestampAuthorities": [],
}
bundle = {
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "verificationMaterial": {
        "certificate": {"rawBytes": b64(certificate.public_bytes(serialization.Encoding.DER))},
        "tlogEntries": [
            {
                "logIndex": "0",
                "logId": {"keyId": b64(rekor_id)},
                "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
                "integratedTime": str(at),
                "inclusionPromise": {"signedEntryTimestamp": b64(promise)},
                "inclusionProof": {
                    "logIndex": "0",
                    "rootHash": b64(leaf_hash),
                    "treeSize": "1",
                    "hashes": [],
                    "checkpoint": {"envelope": checkpoint},
                },
                "canonicalizedBody": b64(body),
            }
        ],
    },
    "messageSignature": {
        "messageDigest": {"algorithm": "SHA2_256", "digest": b64(digest)},
        "signature": b64(signature),
    },
}
for name, value in (("trusted_root.json", trusted), ("bundle.json", bundle)):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")
