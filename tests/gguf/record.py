#!/usr/bin/env python3
"""Writes small GGUF files, loads them in llama.cpp and records the buffer sizes of its log.

    record.py                 renew recorded/ (about two minutes)
    record.py --check         load a few set-ups again and compare with recorded/
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
COLUMNS = ["gguf_file", "context_tokens", "sequences", "ubatch_tokens", "kv_format", "flash_attention", "buffer",
           "value_bytes", "precision_bytes"]
MIB = 1 << 20

# Lines of the log and the buffer they state; several of one kind are added.
LINES = {
    "weights": r"load_tensors: +\S+ model buffer size = +([\d.]+) MiB",
    "kv": r"KV buffer size = +([\d.]+) MiB",
    "state": r"RS buffer size = +([\d.]+) MiB",
    "compute": r"compute buffer size = +([\d.]+) MiB",
    "output": r"output buffer size = +([\d.]+) MiB",
}


def setups():
    """Contexts, cache types, attention kinds, sequences and micro-batches."""
    for context in (2048, 8192, 32768):
        for kv in ("f16", "q8_0", "q4_0"):
            yield context, 1, 512, kv, 1
    # Without flash attention llama.cpp takes no quantised values.
    for context in (2048, 8192):
        yield context, 1, 512, "f16", 0
    for flash in (1, 0):
        yield 8192, 4, 512, "f16", flash
    for ubatch in (128, 2048):
        yield 8192, 1, ubatch, "f16", 1


QUICK = [(8192, 1, 512, "f16", 1), (2048, 1, 512, "f16", 0), (32768, 1, 512, "q4_0", 1)]


def load(path, context, sequences, ubatch, kv, flash):
    """Loads a file in this process as `llama-server` would, and ends; the log goes to stderr."""
    import xllamacpp as engine

    params = engine.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel, params.n_ubatch = int(context), int(sequences), int(ubatch)
    params.cache_type_k = params.cache_type_v = getattr(engine.ggml_type, f"GGML_TYPE_{kv.upper()}")
    attention = engine.llama_flash_attn_type
    params.flash_attn_type = (attention.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash == "1"
                              else attention.LLAMA_FLASH_ATTN_TYPE_DISABLED)
    # Weights as they are in the file, in one buffer; no token is computed.
    params.no_extra_bufts, params.load_mode = True, engine.llama_load_mode.LLAMA_LOAD_MODE_NONE
    params.fit_params, params.warmup, params.verbosity, params.port = False, False, 5, 0
    params.cpuparams.n_threads = 1
    # Kept alive: its destructor waits for requests.
    server = engine.Server(params)
    sys.stderr.flush()
    os._exit(0 if server else 1)


def buffers(path, setup):
    """Sizes of the log in bytes by buffer."""
    command = [sys.executable, __file__, "--load", str(path), *map(str, setup)]
    run = subprocess.run(command, capture_output=True, check=False, timeout=120)
    log = run.stderr.decode("utf-8", "replace")
    found = {}
    for buffer, pattern in LINES.items():
        sizes = re.findall(pattern, log)
        if sizes:
            # The log rounds to 0.01 MiB.
            found[buffer] = (sum(map(float, sizes)) * MIB, len(sizes) * 0.005 * MIB)
    if "compute" not in found:
        sys.exit(f"{path.name} {setup}: llama.cpp did not start:\n{log[-2000:]}")
    return found


def rows(name, path, chosen):
    import gguf

    tensors = sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors)
    yield [f"{name}.gguf", "", "", "", "", "", "tensors", tensors, 0]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for setup, found in zip(chosen, pool.map(lambda setup: buffers(path, setup), chosen)):
            for buffer, (value, precision) in found.items():
                yield [f"{name}.gguf", *setup, buffer, round(value), round(precision)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--load", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        load(*arguments.load)
    import gguf
    from models import MODELS

    chosen = QUICK if arguments.check else list(setups())
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for name, build in MODELS.items():
            path = Path(folder) / f"{name}.gguf"
            build().write(path)
            table += rows(name, path, chosen)
            path.unlink()
            print(f"{name}: {len(chosen)} set-ups", file=sys.stderr)
    if arguments.check:
        sys.exit(compare(table))
    RECORDED.mkdir(exist_ok=True)
    for name, build in MODELS.items():
        build().write(RECORDED / f"{name}.gguf", with_data=False)
    MODELS["llama"]().write(RECORDED / "llama-big-endian.gguf", with_data=False, endian=gguf.GGUFEndian.BIG)
    with open(RECORDED / "buffers.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(table)
    made = {"engine": "llama.cpp", "package": f"xllamacpp {version('xllamacpp')}", "backend": "CPU",
            "writer": f"gguf {version('gguf')}", "date": os.environ.get("RECORD_DATE") or today()}
    (RECORDED / "engine.json").write_text(json.dumps(made, indent=2) + "\n")
    return 0


def today():
    import datetime

    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def compare(table):
    """What differs from the recorded rows."""
    with open(RECORDED / "buffers.csv") as file:
        known = {tuple(row[:7]): row[7] for row in csv.reader(file)}
    wrong = [row for row in table if known.get(tuple(map(str, row[:7]))) != str(row[7])]
    for row in wrong:
        print("differs:", row, "recorded", known.get(tuple(map(str, row[:7]))), file=sys.stderr)
    print(f"{len(table)} buffers compared, {len(wrong)} differ", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
