"""Signatures against the example of the Amazon S3 API reference."""

from datetime import UTC, datetime

import httpx
import pytest

from data.sources.download import Job, fetch
from data.sources.s3 import S3Auth
from risk.errors import InvalidInput

# The key that Amazon's documentation uses in its examples.
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
AT = datetime(2013, 5, 24, tzinfo=UTC)


def sign(auth, url, **headers):
    return next(auth.auth_flow(httpx.Request("GET", url, headers=headers))).headers


def test_the_documented_get_object_example():
    auth = S3Auth(KEY_ID, SECRET, "us-east-1", requester_pays=False, now=lambda: AT)
    headers = sign(auth, "https://examplebucket.s3.amazonaws.com/test.txt", Range="bytes=0-9")
    assert headers["x-amz-date"] == "20130524T000000Z"
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_the_requester_pays_and_says_so_in_the_signature():
    auth = S3Auth(KEY_ID, SECRET, "us-east-1", token="session", now=lambda: AT)
    headers = sign(auth, "https://hyperliquid-archive.s3.us-east-1.amazonaws.com/asset_ctxs/20250101.csv.lz4")
    assert headers["x-amz-request-payer"] == "requester"
    assert "x-amz-request-payer;x-amz-security-token," in headers["Authorization"]


def test_the_key_comes_from_the_environment_and_stays_out_of_print():
    auth = S3Auth.from_environment("eu", {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET})
    assert repr(auth) == "S3Auth(region='eu')"
    with pytest.raises(InvalidInput, match="AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY was not set"):
        S3Auth.from_environment("eu", {"AWS_ACCESS_KEY_ID": KEY_ID})


def test_a_signed_download_resumes_with_a_signed_range(server, fault, tmp_path):
    body = bytes(500_000)
    server.files["/a.lz4"] = body
    server.faults["/a.lz4"].append(fault(cut_after=200_000))
    auth = S3Auth(KEY_ID, SECRET, "us-east-1", now=lambda: AT)
    with httpx.Client(trust_env=False, auth=auth) as client:
        assert fetch(client, Job(f"{server.url}/a.lz4", tmp_path / "a.lz4"), lambda amount: None) == "fetched"
    assert (tmp_path / "a.lz4").read_bytes() == body
    first, second = (headers["authorization"] for _, headers, _ in server.requests)
    assert "SignedHeaders=host;x-amz" in first
    assert "SignedHeaders=host;range;x-amz" in second
