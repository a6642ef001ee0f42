#!/usr/bin/env python3
"""Writes a llama model of half a megabyte with random weights: it speaks nonsense, and it is a real model to a worker.

`tiny_gguf.py FILE`; needs the packages gguf and numpy.
"""
import sys

import gguf
import numpy

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 64, 4, 2, 128, 2048


def vocabulary():
    """The least that a sentencepiece vocabulary must have: three marks, every byte, and some letters."""
    pieces = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
    pieces += [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    pieces += [(letter, gguf.TokenType.NORMAL) for letter in "\u2581abcdefghijklmnopqrstuvwxyz"]
    return pieces


def main():
    random = numpy.random.default_rng(4)
    pieces = vocabulary()

    def weights(*shape):
        return (random.standard_normal(shape) * 0.05).astype(numpy.float32)

    out = gguf.GGUFWriter(sys.argv[1], "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(pieces))
    out.add_tokenizer_model("llama")
    out.add_token_list([piece for piece, _ in pieces])
    out.add_token_scores([0.0 if at < 3 else -float(at) for at in range(len(pieces))])
    out.add_token_types([kind for _, kind in pieces])
    out.add_unk_token_id(0)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_tensor("token_embd.weight", weights(len(pieces), WIDTH))
    out.add_tensor("output_norm.weight", numpy.ones(WIDTH, numpy.float32))
    out.add_tensor("output.weight", weights(len(pieces), WIDTH))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            out.add_tensor(f"blk.{layer}.{name}.weight", numpy.ones(WIDTH, numpy.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            out.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        for name in ("ffn_gate", "ffn_up"):
            out.add_tensor(f"blk.{layer}.{name}.weight", weights(INNER, WIDTH))
        out.add_tensor(f"blk.{layer}.ffn_down.weight", weights(WIDTH, INNER))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main()
