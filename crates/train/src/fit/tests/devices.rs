//! The same training by our kernels and by the operations of a GPU.

use super::several::{people, several};
use super::*;

/// The loss of each step, and what was trained.
type Course = (Vec<f64>, Fitted);

/// Trains, or goes on, on `device`; stopped after a step where that is asked for.
fn go(run: &Run, device: &Device, state: &str, stop_at: Option<usize>) -> Result<Course> {
    let mut losses = Vec::new();
    let mut watch = |news: &Progress| match news {
        Progress::Step { step, loss, .. } => {
            losses.push(*loss);
            if Some(*step) == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let (train, validation) = (people(24, "train"), people(6, "validation"));
    let fitted = run.with(state, |inputs| {
        let inputs = FitInputs { device, ..*inputs };
        let inputs = if run.config.media.is_empty() {
            inputs
        } else {
            FitInputs { train: &train, validation: &validation, ..inputs }
        };
        fit(&inputs, &mut watch)
    })?;
    Ok((losses, fitted))
}

fn assert_close(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() < 1e-4 * a.abs().max(1e-2), "{ours:?} {theirs:?}");
    }
}

fn nlls(fitted: &Fitted) -> Vec<f64> {
    fitted.curve.iter().map(|point| point.nll).collect()
}

#[test]
fn composed_operations_learn_what_our_kernels_do_and_leave_them_alone() -> Result<()> {
    let [kernels, composed] = Device::both();
    for (config, checkpointing) in [(config(), false), (several(), false), (config(), true)] {
        let mut run = Run { config, ..Run::new(6) };
        run.fit.activation_checkpointing = checkpointing;
        let (ours, our_fit) = go(&run, &kernels, "kernels", None)?;
        let before = nn::kernel_calls();
        let (theirs, their_fit) = go(&run, &composed, "composed", None)?;
        assert_eq!(nn::kernel_calls(), before, "a composed training used our kernels");
        assert_close(&ours, &theirs);
        assert_close(&nlls(&our_fit), &nlls(&their_fit));
        assert!(ours.len() == 6 && ours[5] < ours[0], "{ours:?}");
    }
    Ok(())
}

#[test]
fn a_training_stopped_on_one_device_goes_on_on_the_other() -> Result<()> {
    let run = Run::new(8);
    let devices = Device::both();
    let (straight, fitted) = go(&run, &devices[0], "straight", None)?;
    for (name, first, second) in [("to", 0, 1), ("from", 1, 0)] {
        let stopped = go(&run, &devices[first], name, Some(5));
        assert!(matches!(stopped, Err(Error::Interrupted { step: 5 })));
        let (losses, resumed) = go(&run, &devices[second], name, None)?;
        assert_close(&straight[5..], &losses);
        assert_close(&nlls(&fitted), &nlls(&resumed));
    }
    Ok(())
}

#[test]
fn a_language_model_is_pretrained_alike_on_both() {
    let root = tempfile::tempdir().unwrap();
    let config = PretrainConfig { steps: 6, validate_every: 3, ..small() };
    let [ours, theirs] = Device::both().map(|device| {
        let folder = root.path().join(device.rounding());
        let (mut losses, before) = (Vec::new(), nn::kernel_calls());
        let mut watch = |news: &Progress| {
            if let Progress::Step { loss, .. } = news {
                losses.push(*loss);
            }
            ControlFlow::Continue(())
        };
        let state = folder.join("state");
        let summary = pretrain(&config, &texts(), 1, &folder, &state, &device, &mut watch).unwrap();
        assert_eq!(nn::kernel_calls() > before, device.ops() == nn::Ops::Kernels);
        losses.push(summary.heldout_nll);
        losses
    });
    assert_close(&ours, &theirs);
}
