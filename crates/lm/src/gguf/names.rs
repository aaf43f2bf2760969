//! llama.cpp's tensor names and row orders to Hugging Face's.

use std::sync::Arc;

use crate::LlamaConfig;

/// Hugging Face's name; nothing for tables that are computed, and an unknown name as it is.
pub(super) fn hugging_face(name: &str) -> Option<String> {
    let whole = match name {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        "rope_freqs.weight" => return None,
        _ => None,
    };
    if let Some(whole) = whole {
        return Some(whole.to_owned());
    }
    Some(block(name).unwrap_or_else(|| name.to_owned()))
}

/// `blk.7.attn_q.weight` as `model.layers.7.self_attn.q_proj.weight`.
fn block(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix("blk.")?.split('.');
    let (idx, part, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let part = match part {
        "attn_norm" => "input_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_output" => "self_attn.o_proj",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    };
    parts.next().is_none().then(|| format!("model.layers.{idx}.{part}.{kind}"))
}

/// Which rows of the file make the rows of a query or key projection: llama.cpp stores the two
/// entries of a rotary pair side by side, Hugging Face half a head apart.
pub(super) fn row_order(config: &LlamaConfig, name: &str) -> Option<Arc<[u32]>> {
    let n_heads = if name.contains("self_attn.q_proj.") {
        config.num_attention_heads
    } else if name.contains("self_attn.k_proj.") {
        config.n_kv_heads()
    } else {
        return None;
    };
    let head_dim = config.head_dim();
    let half = head_dim / 2;
    let row = |at: usize| {
        let (head, entry) = (at / head_dim, at % head_dim);
        (head * head_dim + 2 * (entry % half) + entry / half) as u32
    };
    Some((0..n_heads * head_dim).map(row).collect())
}
