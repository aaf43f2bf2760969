use candle_core::Result;

use super::*;
use crate::config::Architecture;
use crate::testing::plain::{self, Rows, Weights, add, attention, columns, gelu, map, rotate};
use crate::testing::{agrees_with_the_recorded_case, holds};
use crate::{LmConfig, Rope};

fn config(parallel: bool, rotary_pct: f64, tied: bool) -> NeoXConfig {
    NeoXConfig {
        use_parallel_residual: parallel,
        rotary_pct,
        tie_word_embeddings: tied,
        ..NeoXConfig::tiny(10)
    }
}

/// Pythia, RedPajama-INCITE (in turn, whole heads rotated), and both the other way round.
fn variants() -> [NeoXConfig; 4] {
    [config(true, 0.5, false), config(false, 1., false), config(true, 1., true), {
        NeoXConfig { attention_bias: false, ..config(false, 0.5, true) }
    }]
}

#[test]
fn gradients_cache_and_padding_hold() -> Result<()> {
    for (config, n_tensors) in variants().into_iter().zip([28, 28, 27, 23]) {
        holds(&LmConfig::NeoX(config), n_tensors)?;
    }
    Ok(())
}

#[test]
fn blocks_agree_with_openflamingos_gpt_neox() -> crate::Result<()> {
    agrees_with_the_recorded_case("neox_x1")
}

fn derived(config: &NeoXConfig, weights: &Weights, ids: &[u32]) -> Rows {
    let embedding = weights.matrix("gpt_neox.embed_in.weight");
    let mut xs: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    // two heads of eight
    let frequencies: &[f64] =
        if config.rotary_pct == 1. { &[1., 0.1, 0.01, 1e-3] } else { &[1., 0.01] };
    for layer in 0..config.num_hidden_layers {
        let name = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
        let normed = weights.layer_norm(&name("input_layernorm"), &xs);
        let packed = weights.linear(&name("attention.query_key_value"), &normed);
        let part = |i: usize| -> Rows {
            let (first, second) = (columns(&packed, 8 * i, 8), columns(&packed, 24 + 8 * i, 8));
            first.into_iter().zip(second).map(|(a, b)| [a, b].concat()).collect()
        };
        let (q, k) = (rotate(&part(0), 8, frequencies), rotate(&part(1), 8, frequencies));
        let seen = attention([&q, &k, &part(2)], 8, 8f64.powf(-0.5), |_, _| 0.);
        let attended = add(&xs, &weights.linear(&name("attention.dense"), &seen));
        let read = if config.use_parallel_residual { &xs } else { &attended };
        let normed = weights.layer_norm(&name("post_attention_layernorm"), read);
        let hidden = map(&weights.linear(&name("mlp.dense_h_to_4h"), &normed), gelu);
        xs = add(&attended, &weights.linear(&name("mlp.dense_4h_to_h"), &hidden));
    }
    let normed = weights.layer_norm("gpt_neox.final_layer_norm", &xs);
    let head = if config.tie_word_embeddings { "gpt_neox.embed_in" } else { "embed_out" };
    weights.linear(head, &normed)
}

#[test]
fn logits_equal_a_derivation_in_plain_loops() -> Result<()> {
    for config in variants() {
        plain::equals(&LmConfig::NeoX(config.clone()), |weights, ids| {
            derived(&config, weights, ids)
        })?;
    }
    Ok(())
}

#[test]
fn newer_files_say_base_and_share_in_one_place() {
    let rope = Rope { theta: Some(100.), partial: Some(0.5), ..Rope::default() };
    let config = NeoXConfig { rope_scaling: Some(rope), ..config(true, 1., false) };
    assert_eq!((config.n_rotated(), config.frequencies()), (4, vec![1., 0.1]));
}

#[test]
fn buffers_are_no_weights_and_odd_parts_of_heads_are_refused() {
    let tiny = NeoXConfig::tiny(10);
    for (name, expected) in [
        ("gpt_neox.layers.0.attention.bias", None),
        ("gpt_neox.layers.0.attention.masked_bias", None),
        ("gpt_neox.layers.0.attention.rotary_emb.inv_freq", None),
        ("gpt_neox.layers.0.attention.dense.bias", Some("gpt_neox.layers.0.attention.dense.bias")),
        ("embed_in.weight", Some("gpt_neox.embed_in.weight")),
        ("embed_out.weight", Some("embed_out.weight")),
    ] {
        assert_eq!(tiny.rename(name).as_deref(), expected, "{name}");
    }
    let problem = config(true, 0.4, false).problem().unwrap();
    assert!(problem.contains("an even part of each head of 8, found 3"), "{problem}");
    assert!(config(true, 0.1, false).problem().is_some());
}

#[test]
fn numbers_out_of_all_proportion_are_refused_with_what_was_expected() {
    let problem = |edit: &dyn Fn(&mut NeoXConfig)| {
        let mut config = NeoXConfig::tiny(10);
        edit(&mut config);
        config.problem().unwrap_or_default()
    };
    assert_eq!(problem(&|_| ()), "");
    let layers = problem(&|c| c.num_hidden_layers = 200_000);
    assert_eq!(layers, "num_hidden_layers is 200000, expected 1 to 1000");
    assert!(problem(&|c| c.max_position_embeddings = 0).contains("max_position_embeddings is 0"));
    assert!(problem(&|c| c.max_position_embeddings = 1 << 25).contains("is 33554432, expected"));
    assert!(problem(&|c| c.intermediate_size = 1 << 21).contains("intermediate_size is"));
    assert!(problem(&|c| c.vocab_size = 0).contains("vocab_size is 0"));
    assert!(problem(&|c| c.rotary_emb_base = 0.).contains("rotary_emb_base is 0, expected"));
    let rope = Rope { theta: Some(-1.), ..Rope::default() };
    assert!(problem(&|c| c.rope_scaling = Some(rope.clone())).contains("rope_theta is -1"));
    assert!(problem(&|c| c.layer_norm_eps = -1.).contains("layer_norm_eps is -1"));
}
