"""Small models of real architectures, written as GGUF files with random weights.

Shapes are small and the proportions of the published models are kept where they decide which buffer
is widest. Tensor types are mixed within and between layers, as dynamic quantisations mix them.
"""

from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

VOCABULARY = 8192


@dataclass
class Model:
    """Metadata and tensors of a file, in the order they are written."""

    architecture: str
    metadata: dict = field(default_factory=dict)
    tensors: list = field(default_factory=list)

    def add(self, name: str, *shape: int, kind: T = T.F16) -> None:
        """Adds a tensor; its shape is rows first, as numpy has it."""
        self.tensors.append((name, shape, kind))

    def norm(self, name: str, width: int) -> None:
        self.add(name, width, kind=T.F32)

    def write(self, path: Path, *, with_data: bool = True, endian=gguf.GGUFEndian.LITTLE) -> None:
        """Writes the file; without data it ends where the first tensor would begin."""
        writer = gguf.GGUFWriter(path, self.architecture, endianess=endian)
        for key, value in self.metadata.items():
            key = key if "." in key and key.split(".")[0] in {"general", "tokenizer"} else f"{self.architecture}.{key}"
            if isinstance(value, bool):
                writer.add_bool(key, value)
            elif isinstance(value, int):
                writer.add_uint32(key, value)
            elif isinstance(value, float):
                writer.add_float32(key, value)
            elif isinstance(value, list):
                writer.add_array(key, value)
            else:
                writer.add_string(key, value)
        random = np.random.default_rng(7)
        for name, shape, kind in self.tensors:
            stored = gguf.quant_shape_to_byte_shape(shape, kind)
            size = int(np.prod(stored))
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if with_data:
            for name, shape, kind in self.tensors:
                writer.write_tensor_data(values(random, shape, kind))
        writer.close()


def values(random: np.random.Generator, shape: tuple, kind: T) -> np.ndarray:
    """Random weights; of types without a quantiser in the package, random blocks."""
    if kind in (T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q5_0):
        weights = random.standard_normal(shape, dtype=np.float32) * 0.02
        return gguf.quantize(weights, kind).view(np.uint8)
    return random.integers(0, 64, gguf.quant_shape_to_byte_shape(shape, kind), dtype=np.uint8)


def base(architecture: str, *, layers: int, hidden: int, heads: int, kv_heads: int, **more) -> Model:
    metadata = {
        "context_length": 131072,
        "embedding_length": hidden,
        "block_count": layers,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 10000.0,
        "vocab_size": VOCABULARY,
        "tokenizer.ggml.model": "none",
    }
    metadata.update({key.replace("__", "."): value for key, value in more.items()})
    model = Model(architecture, metadata)
    model.add("token_embd.weight", VOCABULARY, hidden, kind=T.Q8_0)
    return model


def head(model: Model, hidden: int, *, tied: bool = False, kind: T = T.Q6_K) -> Model:
    model.norm("output_norm.weight", hidden)
    if not tied:
        model.add("output.weight", VOCABULARY, hidden, kind=kind)
    return model


def attention(model, layer, hidden, heads, kv_heads, dim, *, kinds=(T.Q4_K, T.Q4_K, T.Q6_K, T.Q4_K), bias=False):
    b = f"blk.{layer}."
    q, k, v, o = kinds
    model.add(b + "attn_q.weight", heads * dim, hidden, kind=q)
    model.add(b + "attn_k.weight", kv_heads * dim, hidden, kind=k)
    model.add(b + "attn_v.weight", kv_heads * dim, hidden, kind=v)
    model.add(b + "attn_output.weight", hidden, heads * dim, kind=o)
    if bias:
        for part, width in (("q", heads * dim), ("k", kv_heads * dim), ("v", kv_heads * dim)):
            model.norm(f"{b}attn_{part}.bias", width)


def dense(model, layer, hidden, width, *, kinds=(T.Q4_K, T.Q4_K, T.Q6_K)):
    b = f"blk.{layer}."
    gate, up, down = kinds
    model.add(b + "ffn_gate.weight", width, hidden, kind=gate)
    model.add(b + "ffn_up.weight", width, hidden, kind=up)
    model.add(b + "ffn_down.weight", hidden, width, kind=down)


def experts(model, layer, hidden, count, width, *, kind=T.Q4_K, down=T.Q5_K):
    b = f"blk.{layer}."
    model.add(b + "ffn_gate_inp.weight", count, hidden, kind=T.F32)
    model.add(b + "ffn_gate_exps.weight", count, width, hidden, kind=kind)
    model.add(b + "ffn_up_exps.weight", count, width, hidden, kind=kind)
    model.add(b + "ffn_down_exps.weight", count, hidden, width, kind=down)


def shared(model, layer, hidden, width):
    b = f"blk.{layer}."
    model.add(b + "ffn_gate_shexp.weight", width, hidden, kind=T.Q8_0)
    model.add(b + "ffn_up_shexp.weight", width, hidden, kind=T.Q8_0)
    model.add(b + "ffn_down_shexp.weight", hidden, width, kind=T.Q8_0)


def llama() -> Model:
    hidden, heads, kv, width = 1024, 16, 4, 3584
    m = base("llama", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             rope__dimension_count=64)
    for i in range(4):
        m.norm(f"blk.{i}.attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, 64)
        m.norm(f"blk.{i}.ffn_norm.weight", hidden)
        # Types differ between layers, as in Unsloth's dynamic files.
        kinds = [(T.Q6_K, T.Q6_K, T.Q8_0), (T.Q4_K, T.Q4_K, T.Q6_K), (T.IQ4_XS, T.IQ4_XS, T.Q5_K), (T.Q3_K, T.IQ3_XXS, T.Q4_K)]
        dense(m, i, hidden, width, kinds=kinds[i])
    return head(m, hidden)


def qwen3() -> Model:
    hidden, heads, kv, dim, width = 768, 16, 8, 128, 2304
    m = base("qwen3", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             attention__key_length=dim, attention__value_length=dim)
    for i in range(4):
        m.norm(f"blk.{i}.attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, dim, kinds=(T.Q5_K, T.Q8_0, T.Q8_0, T.BF16))
        m.norm(f"blk.{i}.attn_q_norm.weight", dim)
        m.norm(f"blk.{i}.attn_k_norm.weight", dim)
        m.norm(f"blk.{i}.ffn_norm.weight", hidden)
        dense(m, i, hidden, width)
    return head(m, hidden, tied=True)


def qwen3moe() -> Model:
    hidden, heads, kv, dim = 1024, 16, 4, 128
    m = base("qwen3moe", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=3072,
             attention__key_length=dim, attention__value_length=dim, expert_count=32, expert_used_count=8,
             expert_feed_forward_length=256)
    for i in range(4):
        m.norm(f"blk.{i}.attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, dim)
        m.norm(f"blk.{i}.attn_q_norm.weight", dim)
        m.norm(f"blk.{i}.attn_k_norm.weight", dim)
        m.norm(f"blk.{i}.ffn_norm.weight", hidden)
        experts(m, i, hidden, 32, 256)
    return head(m, hidden)


def gemma3() -> Model:
    hidden, heads, kv, dim, width, layers = 1280, 8, 4, 256, 3840, 12
    m = base("gemma3", layers=layers, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             attention__key_length=dim, attention__value_length=dim, attention__sliding_window=1024,
             rope__freq_base_swa=10000.0)
    for i in range(layers):
        m.norm(f"blk.{i}.attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, dim, kinds=(T.Q4_0, T.Q4_0, T.Q8_0, T.Q5_0))
        m.norm(f"blk.{i}.attn_q_norm.weight", dim)
        m.norm(f"blk.{i}.attn_k_norm.weight", dim)
        m.norm(f"blk.{i}.post_attention_norm.weight", hidden)
        m.norm(f"blk.{i}.ffn_norm.weight", hidden)
        dense(m, i, hidden, width, kinds=(T.Q4_0, T.Q4_0, T.Q4_0))
        m.norm(f"blk.{i}.post_ffw_norm.weight", hidden)
    return head(m, hidden, tied=True)


def deepseek2() -> Model:
    hidden, heads, rank, rope, nope, value, q_rank = 1024, 16, 512, 64, 128, 128, 768
    m = base("deepseek2", layers=4, hidden=hidden, heads=heads, kv_heads=1, feed_forward_length=2816,
             leading_dense_block_count=1, expert_count=16, expert_used_count=4, expert_shared_count=1,
             expert_feed_forward_length=512, expert_weights_scale=2.5, expert_weights_norm=True,
             expert_gating_func=2, attention__q_lora_rank=q_rank, attention__kv_lora_rank=rank,
             attention__key_length=rank + rope, attention__value_length=rank,
             attention__key_length_mla=nope + rope, attention__value_length_mla=value,
             rope__dimension_count=rope)
    for i in range(4):
        b = f"blk.{i}."
        m.norm(b + "attn_norm.weight", hidden)
        m.add(b + "attn_q_a.weight", q_rank, hidden, kind=T.Q8_0)
        m.norm(b + "attn_q_a_norm.weight", q_rank)
        m.add(b + "attn_q_b.weight", heads * (nope + rope), q_rank, kind=T.Q8_0)
        m.add(b + "attn_kv_a_mqa.weight", rank + rope, hidden, kind=T.Q8_0)
        m.norm(b + "attn_kv_a_norm.weight", rank)
        m.add(b + "attn_k_b.weight", heads, rank, nope, kind=T.Q8_0)
        m.add(b + "attn_v_b.weight", heads, value, rank, kind=T.Q8_0)
        m.add(b + "attn_output.weight", hidden, heads * value, kind=T.Q6_K)
        m.norm(b + "ffn_norm.weight", hidden)
        if i == 0:
            dense(m, i, hidden, 2816)
        else:
            experts(m, i, hidden, 16, 512, kind=T.IQ2_XXS, down=T.Q3_K)
            m.norm(b + "exp_probs_b.bias", 16)
            shared(m, i, hidden, 512)
    return head(m, hidden)


def phi3() -> Model:
    hidden, heads, kv, width = 1024, 16, 8, 2816
    dim = hidden // heads
    m = base("phi3", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             rope__dimension_count=dim, rope__scaling__original_context_length=4096)
    for i in range(4):
        b = f"blk.{i}."
        m.norm(b + "attn_norm.weight", hidden)
        m.add(b + "attn_qkv.weight", (heads + 2 * kv) * dim, hidden, kind=T.Q5_K)
        m.add(b + "attn_output.weight", hidden, heads * dim, kind=T.Q4_K)
        m.norm(b + "ffn_norm.weight", hidden)
        m.add(b + "ffn_up.weight", 2 * width, hidden, kind=T.Q4_K)
        m.add(b + "ffn_down.weight", hidden, width, kind=T.Q6_K)
    return head(m, hidden)


def glm4moe() -> Model:
    """Three layers and one prediction layer, which the file holds and the engine leaves idle."""
    hidden, heads, kv, dim = 1024, 16, 2, 128
    m = base("glm4moe", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=2560,
             attention__key_length=dim, attention__value_length=dim, rope__dimension_count=64,
             expert_count=16, expert_used_count=4, expert_shared_count=1, expert_feed_forward_length=384,
             expert_weights_scale=1.0, expert_weights_norm=True, expert_gating_func=2, expert_group_count=1,
             expert_group_used_count=1, leading_dense_block_count=1, nextn_predict_layers=1)
    for i in range(4):
        b = f"blk.{i}."
        m.norm(b + "attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, dim, kinds=(T.Q8_0, T.Q8_0, T.Q8_0, T.Q5_K), bias=True)
        m.norm(b + "post_attention_norm.weight", hidden)
        if i == 0:
            dense(m, i, hidden, 2560)
        else:
            experts(m, i, hidden, 16, 384, kind=T.Q4_0, down=T.Q4_0)
            m.norm(b + "exp_probs_b.bias", 16)
            shared(m, i, hidden, 384)
        if i == 3:
            m.add(b + "nextn.eh_proj.weight", hidden, 2 * hidden, kind=T.Q8_0)
            m.add(b + "nextn.embed_tokens.weight", VOCABULARY, hidden, kind=T.Q4_K)
            m.norm(b + "nextn.enorm.weight", hidden)
            m.norm(b + "nextn.hnorm.weight", hidden)
            m.add(b + "nextn.shared_head_head.weight", VOCABULARY, hidden, kind=T.Q4_K)
            m.norm(b + "nextn.shared_head_norm.weight", hidden)
    return head(m, hidden)


def gpt_oss() -> Model:
    hidden, heads, kv, dim, width, count = 1024, 32, 8, 64, 1024, 16
    m = base("gpt-oss", layers=4, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             attention__key_length=dim, attention__value_length=dim, attention__sliding_window=128,
             expert_count=count, expert_used_count=4, expert_feed_forward_length=width)
    for i in range(4):
        b = f"blk.{i}."
        m.norm(b + "attn_norm.weight", hidden)
        attention(m, i, hidden, heads, kv, dim, kinds=(T.Q8_0, T.Q8_0, T.Q8_0, T.Q8_0), bias=True)
        m.norm(b + "attn_output.bias", hidden)
        m.norm(b + "attn_sinks.weight", heads)
        m.norm(b + "post_attention_norm.weight", hidden)
        experts(m, i, hidden, count, width, kind=T.MXFP4, down=T.MXFP4)
        m.norm(b + "ffn_gate_inp.bias", count)
        m.add(b + "ffn_gate_exps.bias", count, width, kind=T.F32)
        m.add(b + "ffn_up_exps.bias", count, width, kind=T.F32)
        m.add(b + "ffn_down_exps.bias", count, hidden, kind=T.F32)
    return head(m, hidden, kind=T.Q8_0)


def qwen35() -> Model:
    """Gated delta layers, every fourth attending with a gate."""
    hidden, heads, kv, dim, width, layers = 1024, 8, 2, 256, 3072, 8
    keys, values, state = 8, 16, 128
    inner, mixed = values * state, 2 * keys * state + values * state
    m = base("qwen35", layers=layers, hidden=hidden, heads=heads, kv_heads=kv, feed_forward_length=width,
             attention__key_length=dim, attention__value_length=dim, full_attention_interval=4,
             ssm__conv_kernel=4, ssm__state_size=state, ssm__group_count=keys, ssm__time_step_rank=values,
             ssm__inner_size=inner, rope__dimension_count=64, rope__dimension_sections=[11, 11, 10, 0])
    for i in range(layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm.weight", hidden)
        if (i + 1) % 4 == 0:
            m.add(b + "attn_q.weight", 2 * heads * dim, hidden, kind=T.Q5_K)
            m.add(b + "attn_k.weight", kv * dim, hidden, kind=T.Q5_K)
            m.add(b + "attn_v.weight", kv * dim, hidden, kind=T.Q6_K)
            m.add(b + "attn_output.weight", hidden, heads * dim, kind=T.Q5_K)
            m.norm(b + "attn_q_norm.weight", dim)
            m.norm(b + "attn_k_norm.weight", dim)
        else:
            m.add(b + "attn_qkv.weight", mixed, hidden, kind=T.Q5_K)
            m.add(b + "attn_gate.weight", inner, hidden, kind=T.Q4_K)
            m.add(b + "ssm_conv1d.weight", mixed, 4, kind=T.F32)
            m.norm(b + "ssm_dt.bias", values)
            m.norm(b + "ssm_a", values)
            m.add(b + "ssm_beta.weight", values, hidden, kind=T.F16)
            m.add(b + "ssm_alpha.weight", values, hidden, kind=T.F16)
            m.norm(b + "ssm_norm.weight", state)
            m.add(b + "ssm_out.weight", hidden, inner, kind=T.Q5_K)
        m.norm(b + "post_attention_norm.weight", hidden)
        dense(m, i, hidden, width)
    return head(m, hidden)


MODELS = {
    "llama": llama,
    "qwen3": qwen3,
    "qwen3moe": qwen3moe,
    "gemma3": gemma3,
    "deepseek2": deepseek2,
    "phi3": phi3,
    "glm4moe": glm4moe,
    "gpt-oss": gpt_oss,
    "qwen35": qwen35,
}
