//! Checkpoints around language models that are no LLaMA.

use serde_json::json;

use super::kin::{likelihoods, noisy};
use super::*;

/// Name, config for so many rows of the embedding, and the embedding's place.
/// A family's name, its config for so many ids, and the name of its embedding.
type Family = (&'static str, fn(usize) -> serde_json::Value, &'static str);

fn families() -> [Family; 4] {
    [
        (
            "GPT-NeoX",
            |n| {
                json!({
                    "model_type": "gpt_neox", "hidden_size": 16, "intermediate_size": 24,
                    "vocab_size": n, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "max_position_embeddings": 64, "rotary_pct": 0.5,
                })
            },
            "gpt_neox.embed_in",
        ),
        (
            "OPT",
            |n| {
                json!({
                    "model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 24,
                    "vocab_size": n, "num_hidden_layers": 2, "num_attention_heads": 4,
                    "max_position_embeddings": 64,
                })
            },
            "model.decoder.embed_tokens",
        ),
        (
            "MPT",
            |n| {
                json!({
                    "model_type": "mpt", "d_model": 16, "n_heads": 4, "n_layers": 2,
                    "max_seq_len": 64, "vocab_size": n, "attn_config": { "alibi": true },
                })
            },
            "transformer.wte",
        ),
        (
            "MosaicGPT",
            |n| {
                json!({
                    "model_type": "mosaic_gpt", "d_model": 16, "n_heads": 4, "n_layers": 2,
                    "max_seq_len": 64, "vocab_size": n, "attn_qk_ln": true, "alibi": true,
                    "no_bias": true,
                })
            },
            "transformer.wte",
        ),
    ]
}

fn foreign(make: fn(usize) -> serde_json::Value, spare: usize) -> Foreign {
    Foreign::of(|n_ids| serde_json::from_value(make(n_ids + spare)).unwrap())
}

/// The tensors of the language model's file.
fn own(foreign: &Foreign) -> HashMap<String, Tensor> {
    Frozen::open(&foreign.path("lm/model.safetensors")).unwrap().tensors().unwrap()
}

#[test]
fn an_embedding_that_training_moved_is_used_in_every_family() -> Result<()> {
    for (name, make, place) in families() {
        // the embedding has rows to spare, as MPT's and RedPajama's have: they are dropped
        let mut foreign = foreign(make, 7);
        let imported = foreign.import().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(imported.moved.is_empty() && imported.drawn_rows.is_empty(), "{name}");
        let package = foreign.path("package");
        let before = likelihoods(&package);
        let embedding = format!("lang_encoder.{place}.weight");
        let whole = noisy(&foreign.checkpoint[&embedding]);
        foreign.checkpoint.insert(embedding.clone(), whole.clone());
        foreign.store();
        assert_eq!(foreign.import()?.moved, [embedding], "{name}");
        verify(&package)?;
        let found = likelihoods(&package);
        assert_ne!(before, found, "{name}");

        let (weights, mut own) = (foreign.path("lm/model.safetensors"), own(&foreign));
        let theirs = own.remove(&format!("{place}.weight")).unwrap();
        let n_ids = whole.dim(0)? - 3;
        let spare = theirs.narrow(0, n_ids, 7)?;
        let moved = Tensor::cat(&[&whole.narrow(0, 0, n_ids)?, &spare], 0)?;
        own.insert(format!("{place}.weight"), moved);
        save(&weights, &own)?;
        assert!(foreign.import()?.moved.is_empty(), "{name}");
        assert_eq!(likelihoods(&package), found, "{name}");
    }
    Ok(())
}

#[test]
fn special_rows_are_the_embeddings_spare_rows_where_the_checkpoint_has_none() -> Result<()> {
    for (name, make, place) in families() {
        let mut foreign = foreign(make, 7);
        let embedding = format!("lang_encoder.{place}.weight");
        let n_ids = foreign.checkpoint.remove(&embedding).unwrap().dim(0)? - 3;
        foreign.store();
        assert!(foreign.import()?.drawn_rows.is_empty(), "{name}");
        let adapter = Frozen::open(&foreign.path("package/adapter.safetensors"))?.tensors()?;
        let own = own(&foreign);
        let mut pairs =
            vec![(format!("lang_encoder.{place}.special_rows"), format!("{place}.weight"))];
        if name == "GPT-NeoX" {
            let output = format!("lang_encoder.{place}.special_output_rows");
            pairs.push((output, "embed_out.weight".to_owned()));
        }
        for (rows, matrix) in pairs {
            let expected = own[&matrix].narrow(0, n_ids, 3)?.to_vec2::<f32>()?;
            assert_eq!(adapter[&rows].to_vec2::<f32>()?, expected, "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_saved_head_gives_its_special_rows_and_a_tied_copy_none() -> Result<()> {
    let [(_, neox, _), (_, opt, place), ..] = families();
    let mut saved = foreign(neox, 0);
    let own_head = own(&saved)["embed_out.weight"].clone();
    let rows = Tensor::full(0.25f32, (3, 16), &Device::Cpu)?;
    let head = Tensor::cat(&[&own_head, &rows], 0)?;
    saved.checkpoint.insert("lang_encoder.embed_out.weight".into(), head);
    saved.store();
    let imported = saved.import()?;
    assert_eq!((imported.repeated, imported.drawn_rows.len()), (2, 0));
    let adapter = Frozen::open(&saved.path("package/adapter.safetensors"))?.tensors()?;
    let kept = &adapter["lang_encoder.gpt_neox.embed_in.special_output_rows"];
    assert_eq!(kept.to_vec2::<f32>()?, rows.to_vec2::<f32>()?);

    let mut tied = foreign(opt, 0);
    let copy = tied.checkpoint[&format!("lang_encoder.{place}.weight")].clone();
    tied.checkpoint.insert("lang_encoder.lm_head.weight".into(), copy);
    let positions = own(&tied)["model.decoder.embed_positions.weight"].clone();
    let name = "lang_encoder.model.decoder.embed_positions.weight";
    tied.checkpoint.insert(name.into(), positions);
    tied.store();
    let imported = tied.import()?;
    assert_eq!((imported.repeated, imported.moved.len()), (3, 0));
    Ok(())
}
