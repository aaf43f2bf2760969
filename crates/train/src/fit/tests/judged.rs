//! Trainings that are judged by what they write, and that begin where another one ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use flamingo::{GenerateConfig, Request, Stop, Writer};

use super::*;
use crate::{JudgeError, PackageCard};

/// The share of validation examples whose own word is written.
struct Words {
    others: Option<Vec<usize>>,
    seen: RefCell<Vec<(usize, usize)>>,
}

impl Words {
    fn new() -> Self {
        // the next one has the other word
        Self { others: Some(vec![1, 2, 3, 0]), seen: RefCell::default() }
    }
}

impl Judge for Words {
    fn others(&self) -> Option<&[usize]> {
        self.others.as_deref()
    }

    fn judge(
        &self,
        step: usize,
        writer: &Writer<'_>,
        stop: Stop<'_>,
    ) -> Result<Option<BTreeMap<String, f64>>, JudgeError> {
        let examples = examples(4, "choose");
        let request = |it: &Example| Request {
            prompt: it.prompt.clone(),
            // the window without its margin
            media: vec![Arc::new(it.shown().remove(0))],
            stream: None,
        };
        let requests: Vec<Request> = examples.iter().map(request).collect();
        let config = GenerateConfig::greedy(12, 3);
        let texts = match writer.generate_until(&requests, &config, stop) {
            Err(flamingo::Error::Stopped) => return Ok(None),
            texts => texts?,
        };
        let n_right =
            texts.iter().zip(&examples).filter(|(it, e)| it.text.contains(e.report.trim()));
        let n_right = n_right.count();
        self.seen.borrow_mut().push((step, n_right));
        Ok(Some(BTreeMap::from([("words".to_owned(), n_right as f64 / 4.)])))
    }
}

fn judged(run: &Run, state: &str, judge: &Words, stop_at: Option<usize>) -> Result<Fitted> {
    let mut watch = |news: &Progress| match news {
        Progress::Step { step, .. } if Some(*step) == stop_at => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    run.with(state, |inputs| fit(&FitInputs { judge: Some(judge), ..*inputs }, &mut watch))
}

#[test]
fn what_is_written_chooses_the_step_and_a_resumed_training_chooses_the_same() -> Result<()> {
    let mut run = Run::new(30);
    let best = "words".to_owned();
    run.fit = FitConfig { best, patience: Some(9), validate_every: 2, ..run.fit };
    let straight = judged(&run, "straight", &Words::new(), None)?;
    let point = |step: usize| straight.curve.iter().find(|it| it.step == step).unwrap().clone();
    // the largest metric, of equal ones the most likely, comes first
    let rank = |it: &CurvePoint| (it.metrics["words"], -it.nll);
    let chosen = point(straight.chosen_step);
    assert!(straight.curve.iter().all(|it| rank(it) <= rank(&chosen)), "{:?}", straight.curve);
    assert!(chosen.metrics["words"] > straight.curve[0].metrics["words"], "{:?}", straight.curve);
    // by then the own scan says more than that of another word
    assert!(chosen.metrics[SCAN_GAIN] > 0.1, "{:?}", straight.curve);

    let judge = Words::new();
    let stopped = judged(&run, "resumed", &judge, Some(13));
    assert!(matches!(stopped, Err(Error::Interrupted { step: 13 })));
    let resumed = judged(&run, "resumed", &judge, None)?;
    assert_eq!(resumed.curve, straight.curve);
    assert_eq!(resumed.chosen_step, straight.chosen_step);
    assert_eq!(adapter(&resumed)?, adapter(&straight)?);
    let steps: Vec<usize> = judge.seen.borrow().iter().map(|it| it.0).collect();
    let expected: Vec<usize> = straight.curve.iter().map(|it| it.step).collect();
    assert_eq!(steps, expected, "nothing is judged twice");
    Ok(())
}

#[test]
fn a_judgement_that_was_stopped_is_made_by_the_resumed_training() -> Result<()> {
    let mut run = Run::new(30);
    run.fit = FitConfig { best: "words".to_owned(), ..run.fit };
    let asked = AtomicUsize::new(0);
    // stops after it was asked so many times
    let go = |state: &str, judge: &Words, most: usize| {
        asked.store(0, Ordering::Relaxed);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= most;
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        run.with(state, |inputs| {
            fit(&FitInputs { judge: Some(judge), stop: &stop, ..*inputs }, &mut watch)
        })
    };
    let straight = go("straight", &Words::new(), usize::MAX)?;
    let each = asked.load(Ordering::Relaxed) / straight.curve.len();
    assert!(straight.curve.len() > 2 && each > 10, "{each} times for {:?}", straight.curve);

    let (judge, mut stopped) = (Words::new(), Vec::new());
    let resumed = loop {
        match go("resumed", &judge, each * 3 / 2) {
            Err(Error::Interrupted { step }) => stopped.push(step),
            ended => break ended?,
        }
    };
    let last = straight.curve.last().unwrap().step;
    assert!(stopped.len() > 1 && stopped.contains(&last), "stopped after {stopped:?} of {last}");
    assert_eq!(resumed.curve, straight.curve);
    assert_eq!(resumed.chosen_step, straight.chosen_step);
    assert_eq!(adapter(&resumed)?, adapter(&straight)?);
    Ok(())
}

#[test]
fn a_judge_that_cannot_go_on_ends_the_training() {
    struct Full;
    impl Judge for Full {
        fn judge(
            &self,
            _: usize,
            _: &Writer<'_>,
            _: Stop<'_>,
        ) -> Result<Option<BTreeMap<String, f64>>, JudgeError> {
            Err("the disk is full".into())
        }
    }
    let run = Run::new(20);
    let mut watch = |_: &Progress| ControlFlow::Continue(());
    let ended = run.with("state", |inputs| {
        fit(&FitInputs { judge: Some(&Full), ..*inputs }, &mut watch).map(|_| ())
    });
    assert_eq!(ended.unwrap_err().to_string(), "the disk is full");
}

#[test]
fn a_training_begins_with_the_weights_of_a_package() -> Result<()> {
    let mut run = Run::new(40);
    let first = run.go("first", None)?;
    let folder = run.root.path().join("package");
    let card = PackageCard {
        name: "first".into(),
        seed: 3,
        preprocessing: serde_json::Value::Null,
        files: Vec::new(),
        frozen_encoder: None,
        trained_on: serde_json::Value::Null,
        licence: "Apache-2.0".into(),
    };
    first.save(&folder, &card)?;
    // so small a step moves nothing that the loss would show
    let still = FitConfig { learning_rate: 1e-30, steps: 1, ..run.fit.clone() };
    run.fit = FitConfig { from: Some(folder.clone()), ..still.clone() };
    let warm = run.go("warm", None)?;
    let kept = first.curve.iter().find(|it| it.step == first.chosen_step).unwrap();
    assert!((warm.curve[0].nll - kept.nll).abs() < 1e-6, "{:?} {kept:?}", warm.curve);
    run.fit = still;
    let cold = run.go("cold", None)?;
    assert!(cold.curve[0].nll > kept.nll + 0.1, "{:?}", cold.curve);

    // a state of the training that began elsewhere is another one
    let error = run.go("warm", None).unwrap_err().to_string();
    assert!(error.contains("it follows the settings"), "{error}");
    run.fit.from = Some(folder.clone());
    run.config.resampler.n_latents = 3;
    let error = run.go("other", None).unwrap_err().to_string();
    assert!(error.contains("perceiver.latents has the shape [2, 8], expected [3, 8]"), "{error}");
    // a damaged part is no beginning
    run.config.resampler.n_latents = 2;
    let path = folder.join("adapter.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = run.go("damaged", None).unwrap_err().to_string();
    assert!(error.contains("adapter.safetensors"), "{error}");
    Ok(())
}
