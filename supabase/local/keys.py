"""The keys of a local project, and the tokens Supabase Auth would hand out with them."""

import base64
import json
import os
import secrets
import time
import uuid
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

TEN_YEARS = 10 * 365 * 24 * 3600
HALF_A_DAY = 12 * 3600

# Opaque to clients, as hosted; the gateway turns them into the two roles' tokens.
PUBLISHABLE = "sb_publishable_local"
SECRET = "sb_secret_local"


class Keys:
    """An HS256 secret, as older projects have, and an ES256 pair, as newer ones have."""

    def __init__(self, secret: str, signing_key: str, key_id: str, made_at: int) -> None:
        self.secret = secret
        self.signing_key = signing_key
        self.key_id = key_id
        self.made_at = made_at

    @classmethod
    def kept_in(cls, path: Path) -> Self:
        """The ones in the file, made at the first call; nobody else may read it."""
        if not path.exists():
            pair = ec.generate_private_key(ec.SECP256R1())
            pem = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            made = {
                "secret": secrets.token_hex(32),
                "signing_key": pem,
                "key_id": secrets.token_hex(8),
                "made_at": int(time.time()),
            }
            write_private(path, json.dumps(made, indent=2))
        return cls(**json.loads(path.read_text()))

    @property
    def published(self) -> dict[str, Any]:
        """What /auth/v1/.well-known/jwks.json shows: public halves, never the secret."""
        algorithm = ECAlgorithm(ECAlgorithm.SHA256)
        pair = algorithm.prepare_key(self.signing_key)
        assert isinstance(pair, ec.EllipticCurvePrivateKey)
        public = ECAlgorithm.to_jwk(pair.public_key(), as_dict=True)
        return {"keys": [public | {"kid": self.key_id, "alg": "ES256", "use": "sig"}]}

    @property
    def accepted(self) -> dict[str, Any]:
        """What PostgREST believes: both kinds, side by side."""
        secret = base64.urlsafe_b64encode(self.secret.encode()).decode().rstrip("=")
        shared = {"kty": "oct", "k": secret, "alg": "HS256"}
        return {"keys": [*self.published["keys"], shared]}

    def role_token(self, role: str) -> str:
        """A legacy API key: anon or service_role; always the same one, until the keys change."""
        life = {"iat": self.made_at, "exp": self.made_at + TEN_YEARS}
        claims = {"iss": "supabase", "ref": "local", "role": role} | life
        return jwt.encode(claims, self.secret, "HS256")

    def user_token(
        self,
        user: dict[str, Any],
        url: str,
        lifetime: int = HALF_A_DAY,
        session_id: object = None,
        methods: list[dict[str, Any]] | None = None,
    ) -> str:
        """`user` is a row of auth.users; `methods` how their session was earned."""
        now = int(time.time())
        claims = {
            "iss": f"{url}/auth/v1",
            "sub": str(user["id"]),
            "aud": "authenticated",
            "role": "authenticated",
            "iat": now,
            "exp": now + lifetime,
            "email": user["email"] or "",
            "phone": user["phone"] or "",
            "app_metadata": user["raw_app_meta_data"] or {},
            "user_metadata": user["raw_user_meta_data"] or {},
            "aal": "aal1",
            "amr": methods or [{"method": "oauth", "timestamp": now}],
            "session_id": str(session_id or uuid.uuid4()),
            "is_anonymous": user["is_anonymous"],
        }
        return jwt.encode(claims, self.signing_key, "ES256", headers={"kid": self.key_id})

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token of either kind; raises what PyJWT raises of any other."""
        kind = jwt.get_unverified_header(token).get("alg")
        public = self.published["keys"][0] if kind == "ES256" else None
        key = jwt.PyJWK(public) if public else self.secret
        return jwt.decode(
            token,
            key,
            algorithms=["ES256" if public else "HS256"],
            options={"verify_aud": False, "require": ["exp"]},
        )


def write_private(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)
