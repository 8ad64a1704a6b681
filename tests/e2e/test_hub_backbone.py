"""A backbone of transformers from the Hub, as a server on the loopback address has it."""

from __future__ import annotations

import hashlib

import hub_server
import huggingface_hub.constants
import pytest
from hf_models import make_model, save_model

from aims.core.errors import AimsError, InputError
from aims.methods import BACKBONES
from aims.models.weights import load_weights, resolve_weights

NAME = "me/tiny-sam"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    save_model(folder, make_model("sam"))
    with hub_server.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        tree = {}
        for path in folder.iterdir():
            content = path.read_bytes()
            large = path.suffix in hub_server.LARGE
            oid = hashlib.sha256(content).hexdigest() if large else hub_server.blob_id(content)
            server.contents[oid] = content
            tree[path.name] = ("lfs" if large else "regular", oid)
        server.repos["models", NAME] = hub_server.Repo(private=False)
        server.repos["models", NAME].commit("main", tree)
        server.repos["models", NAME].commit("first", {})
        yield server
    huggingface_hub.close_session()


def test_it_is_fetched_once(hub, tmp_path):
    backbone = f"hf:{NAME}"
    path = resolve_weights(backbone, None)
    assert path.read_bytes() == (tmp_path / "model" / "model.safetensors").read_bytes()
    assert load_weights(backbone, path).state.keys() == BACKBONES[backbone].build().state_dict().keys()
    asked = {path.rpartition("/")[2] for _, path in hub.asked}
    assert (
        {"config.json", "model.safetensors"}
        <= asked
        <= {
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "processor_config.json",
        }
    )
    whole = [path for verb, path in hub.asked if verb == "GET" and not path.endswith("processor_config.json")]
    assert len(whole) == 2
    hub.shutdown()
    hub.server_close()
    assert resolve_weights(backbone, None) == path


def test_what_is_not_there_is_named(hub):
    with pytest.raises(InputError, match=r"hf:me/tiny-sam@first: config\.json: missing"):
        BACKBONES[f"hf:{NAME}@first"]
    with pytest.raises(InputError, match="cannot be fetched"):
        BACKBONES["hf:me/other"]


def test_a_spoilt_file_is_removed(hub):
    hub.spoilt = "model.safetensors"
    with pytest.raises(AimsError, match="not what its checksum says; it was removed"):
        resolve_weights(f"hf:{NAME}", None)
    hub.spoilt = None
    assert resolve_weights(f"hf:{NAME}", None).is_file()
