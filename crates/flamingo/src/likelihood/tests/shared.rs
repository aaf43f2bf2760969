//! How often a prompt is read that many continuations share.

use encoder::EncoderRegistry;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Tensor};
use lm::{Cache, CausalLm, LmShape, Step};
use nn::Precision;
use nn::weights::Variables;

use super::*;
use crate::Flamingo;

/// The size of each pass through a language model, `(batch, n_tokens)`.
type Passes = Arc<Mutex<Vec<(usize, usize)>>>;

/// A language model that keeps count.
struct Counted {
    lm: Box<dyn CausalLm>,
    passes: Passes,
}

impl CausalLm for Counted {
    fn shape(&self) -> &LmShape {
        self.lm.shape()
    }

    fn embed(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        self.lm.embed(ids)
    }

    fn enter(&self, xs: Tensor, step: &Step) -> candle_core::Result<Tensor> {
        self.lm.enter(xs, step)
    }

    fn block(
        &self,
        idx: usize,
        xs: &Tensor,
        step: &Step,
        cache: Option<&mut Cache>,
    ) -> candle_core::Result<Tensor> {
        if idx == 0 {
            self.passes.lock().unwrap().push((xs.dim(0)?, xs.dim(1)?));
        }
        self.lm.block(idx, xs, step, cache)
    }

    fn norm(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        self.lm.norm(xs)
    }

    fn head(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        self.lm.head(xs)
    }
}

/// The package of `root` with other weights, open gates and a language model that keeps count.
fn counted(root: &std::path::Path) -> Result<(Model, Passes)> {
    let mut model = Model::open(&root.join("model"))?;
    let passes = Passes::default();
    let lm = lm::open(&root.join("source"), Precision::F32)?.lm;
    let lm = Box::new(Counted { lm, passes: passes.clone() });
    let (encoder, adapter) = (Variables::default(), Variables::default());
    model.flamingo = Flamingo::new(
        &model.manifest().config,
        model.manifest().input,
        lm,
        model.vocabulary.special.clone(),
        encoder.builder(4, DType::F32),
        adapter.builder(4, DType::F32),
    )?;
    for (_, var) in adapter.all().iter().filter(|(name, _)| name.ends_with("_gate")) {
        var.set(&Tensor::full(2f32, 1, var.device())?)?;
    }
    Ok((model, passes))
}

#[test]
fn a_prompt_is_read_once_for_all_its_continuations_wherever_they_stand() -> Result<()> {
    let root = package();
    let (model, passes) = counted(root.path())?;
    let (a, b) = (request("<image>viewing a face", &[1]), request("<image>x", &[2]));
    let item = |request: &crate::Request, continuation: &str| Scored {
        prompt: request.prompt.clone(),
        continuation: continuation.to_owned(),
        media: request.media.clone(),
    };
    let items = [
        item(&a, " cat"),
        item(&b, " cats"),
        item(&a, " dogs and"),
        item(&a, " cow"),
        item(&b, " dog"),
        item(&a, " elk"),
        item(&a, " horse"),
    ];
    let scores = model.log_likelihood(&items, 2)?;

    // the last id of a continuation is predicted, not read
    let n_read =
        |idx: usize| model.vocabulary.continuation(&items[idx].continuation).unwrap().len() - 1;
    let longest = |some: &[usize]| some.iter().map(|&idx| n_read(idx)).max().unwrap();
    let n_prompt = |request: &crate::Request| model.vocabulary.prompt(&request.prompt, 1);
    let expected = [
        (1, n_prompt(&a)?.len()),
        (2, longest(&[0, 2])),
        (2, longest(&[3, 5])),
        (1, longest(&[6])),
        (1, n_prompt(&b)?.len()),
        (2, longest(&[1, 4])),
    ];
    assert!(expected.iter().all(|&(_, n_tokens)| n_tokens > 0));
    assert_eq!(*passes.lock().unwrap(), expected);

    for (item, score) in items.iter().zip(&scores) {
        let alone = model.log_likelihood(std::slice::from_ref(item), 2)?[0];
        assert!((alone.sum - score.sum).abs() < 1e-5 * alone.sum.abs(), "{alone:?} {score:?}");
        assert_eq!(alone.n_tokens, score.n_tokens);
    }
    Ok(())
}

#[test]
fn prompts_of_few_continuations_are_read_side_by_side() -> Result<()> {
    let root = package();
    let (model, passes) = counted(root.path())?;
    let requests = [request("<image>x", &[1]), request("<image>x", &[2]), request("faces", &[])];
    let classes = [" cat".to_owned(), " dog".to_owned()];
    model.classify(&requests, &classes, RankBy::Sum, 4)?;
    let batches: Vec<usize> = passes.lock().unwrap().iter().map(|&(batch, _)| batch).collect();
    // two prompts and their four continuations, then the one that is left and its two
    assert_eq!(batches, [2, 4, 1, 2]);
    Ok(())
}

#[test]
fn what_stands_beside_a_prompt_decides_in_open_flamingo_alone() -> Result<()> {
    let root = package();
    let items: Vec<Scored> = [("<image>x", 1), ("<image>viewing faces, many of them", 2)]
        .into_iter()
        .flat_map(|(prompt, seed)| {
            let request = request(prompt, &[seed]);
            [" cats and dogs", " elk"].map(|continuation| Scored {
                prompt: request.prompt.clone(),
                continuation: continuation.to_owned(),
                media: request.media.clone(),
            })
        })
        .collect();
    let close = |compat| -> Result<bool> {
        let model = Model::open_as(
            &root.path().join("model"),
            compat,
            &EncoderRegistry::default(),
            &crate::Opening { precision: Precision::Stored, device: nn::Device::cpu() },
        )?;
        let beside = model.log_likelihood_beside(&items, 8, crate::flamingo::NEVER)?;
        let alone = items.iter().map(|it| {
            model.log_likelihood_beside(std::slice::from_ref(it), 8, crate::flamingo::NEVER)
        });
        let alone = alone.collect::<Result<Vec<_>>>()?.concat();
        let differ = |(a, b): (&LogLikelihood, &LogLikelihood)| (a.sum - b.sum).abs() < 1e-4;
        Ok(beside.iter().zip(&alone).all(differ))
    };
    // the shorter prompt's padding is seen by its continuations
    assert!(close(crate::Compat::None)? && !close(crate::Compat::OpenFlamingo)?);
    let (model, passes) = counted(root.path())?;
    model.log_likelihood_beside(&items, 1, crate::flamingo::NEVER)?;
    let batches: Vec<usize> = passes.lock().unwrap().iter().map(|&(batch, _)| batch).collect();
    assert_eq!(batches, [2, 1, 1, 1, 1]);
    Ok(())
}
