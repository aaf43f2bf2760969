use candle_core::{Device, Var};
use flamingo::Compat;

use super::*;
use crate::{LOSS, LrSchedule, gathered::Gradient, reduce::Alone};

/// Gradients of both sources in each micro-batch of two epochs, the second of which may have nothing to learn.
const GRADIENTS: [([f32; 2], Option<[f32; 2]>); 10] = [
    ([3., -1.], Some([0.5, 2.])),
    ([1., 1.], None),
    ([-2., 0.25], Some([1., 1.])),
    ([0.1, 0.2], Some([0., -0.3])),
    ([4., 4.], Some([-1., 2.])),
    ([1., 0.], Some([0., 1.])),
    ([2., -2.], Some([1., 0.5])),
    ([0.5, 0.5], Some([0.25, -0.25])),
    ([1., 2.], Some([3., 4.])),
    ([1., 1.], None),
];

/// Losses that are linear in the weights, so that their gradients are given.
struct Linear {
    weights: Var,
    original: bool,
}

impl Task for Linear {
    /// Factor on the loss, its gradient, and whether it ends a micro-batch.
    type Batch = (f64, Option<[f32; 2]>, bool);

    /// Groups of three micro-batches, of which an epoch has five.
    fn batches(&self, step: usize) -> impl Iterator<Item = Self::Batch> {
        let first = 5 * (step / 2) + 3 * (step % 2);
        let last = first + if step.is_multiple_of(2) { 3 } else { 2 };
        GRADIENTS[first..last]
            .iter()
            .flat_map(|&(one, two)| [(0.5 / 3., Some(one), false), (1. / 3., two, true)])
    }

    fn loss(&self, (factor, gradient, _): Self::Batch) -> Result<Option<Tensor>> {
        let Some(gradient) = gradient else { return Ok(None) };
        let gradient = Tensor::new(&gradient, &Device::Cpu)?;
        Ok(Some(((self.weights.as_tensor() * gradient)?.sum_all()? * factor)?))
    }

    fn n_tokens(&self, _: &Self::Batch) -> usize {
        1
    }

    fn clips_after(&self, batch: &Self::Batch) -> Option<f64> {
        (self.original && batch.2).then_some(1.)
    }

    fn drops_gathered(&self) -> bool {
        self.original
    }

    fn validate(&self, _: usize) -> Result<Validation> {
        Ok(Validation::Nothing)
    }

    fn kept(&self) -> Result<HashMap<String, Tensor>> {
        Ok(HashMap::new())
    }
}

struct Run {
    weights: Vec<f32>,
    norms: Vec<f64>,
    rates: Vec<f64>,
    unlearned: Vec<usize>,
}

/// Every step is judged and saved.
fn rhythm(n_steps: usize) -> Rhythm<'static> {
    let (validate_every, checkpoint_every) = (1, 1);
    Rhythm {
        n_steps,
        validate_every,
        checkpoint_every,
        best_by: LOSS,
        patience: None,
        max_time: None,
    }
}

/// Trains from `[1, −2]`; stopped after a step where that is asked for, and gone on with.
fn run(device: &nn::Device, original: bool, stop_after: Option<usize>) -> Run {
    let state = tempfile::tempdir().unwrap();
    let (mut norms, mut rates) = (Vec::new(), Vec::new());
    let mut go = |stop_after: Option<usize>| {
        let weights = Var::new(&[1f32, -2.], &Device::Cpu).unwrap();
        let clip_norm = if original { f64::INFINITY } else { 1. };
        let mut watch = |news: &Progress| {
            match news {
                Progress::Batch { grad_norm, .. } => norms.extend(*grad_norm),
                Progress::Step { lr, .. } => rates.push(*lr),
                _ => {}
            }
            match news {
                Progress::Step { step, .. } | Progress::NothingLearned { step }
                    if Some(*step) == stop_after =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        };
        let variables = vec![("w".to_owned(), weights.clone())];
        let trainer = Trainer {
            optimizer: Optimizer::new(device, variables, clip_norm, 0., |_| (1., 0.1)).unwrap(),
            schedule: Schedule {
                peak: 0.1,
                n_steps: if original { 10 } else { 4 },
                warmup_steps: 1,
                final_share: 0.,
                shape: LrSchedule::Linear,
                compat: if original { Compat::OpenFlamingo } else { Compat::None },
            },
            rhythm: rhythm(4),
            state: state.path(),
            reduce: &Alone,
            observer: &mut watch,
        };
        let task = Linear { weights: weights.clone(), original };
        let ran = trainer.run(&task, Progression::default());
        (ran.map(|it| it.unlearned()), weights.to_vec1::<f32>().unwrap())
    };
    if stop_after.is_some() {
        assert!(matches!(go(stop_after).0, Err(Error::Interrupted { .. })));
    }
    let (unlearned, weights) = go(None);
    Run { weights, norms, rates, unlearned: unlearned.unwrap() }
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
}

#[test]
fn openflamingos_order_of_operations_gives_its_weights() {
    // a script in Python without this program: clipping after each micro-batch, nothing left of a group after one that
    // is not a number, the last step of the second epoch lost, rates 0, then 9/9 and 8/9 of the peak
    let stops = [None, Some(1), Some(2), Some(3)];
    for (device, stop_after) in nn::Device::both().iter().flat_map(|it| stops.map(|at| (it, at))) {
        let Run { weights, norms, rates, unlearned } = run(device, true, stop_after);
        let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
        assert!(near(&weights, &[0.839_303_439, -2.127_667_539]), "{weights:?}");
        let expected = [
            0.833_333_333,
            0.375,
            0.068_718_427,
            1.314_132_583,
            0.372_677_996,
            0.849_836_586,
            1.013_793_755,
            2.034_425_936,
        ];
        assert!(near(&norms, &expected), "{norms:?}");
        assert!(near(&rates, &[0., 0.1, 0.8 / 9.]), "{rates:?}");
        assert_eq!(unlearned, [4]);
    }
}

#[test]
fn by_default_nothing_to_learn_costs_that_batch_alone() {
    let [ours, theirs] = nn::Device::both().map(|device| {
        let Run { weights, norms, rates, unlearned } = run(&device, false, None);
        assert!(norms.is_empty() && unlearned.is_empty());
        // every group of both epochs made a step, the first of which moved the weights
        assert!(near(&rates, &[0.1, 0.075, 0.05, 0.025]), "{rates:?}");
        weights.into_iter().map(f64::from).collect::<Vec<_>>()
    });
    assert!(near(&ours, &theirs), "{ours:?} {theirs:?}");
}

#[test]
fn gradients_on_a_device_are_added_where_they_lie() {
    let state = tempfile::tempdir().unwrap();
    let weights = Var::new(&[1f32, -2.], &Device::Cpu).unwrap();
    let variables = vec![("w".to_owned(), weights.clone())];
    let device = nn::Device::cpu_composed();
    let mut trainer = Trainer {
        optimizer: Optimizer::new(&device, variables, 1., 0., |_| (1., 0.)).unwrap(),
        schedule: Schedule {
            peak: 0.1,
            n_steps: 1,
            warmup_steps: 1,
            final_share: 0.,
            shape: LrSchedule::Constant,
            compat: Compat::None,
        },
        rhythm: rhythm(1),
        state: state.path(),
        reduce: &Alone,
        observer: &mut |_| ControlFlow::Continue(()),
    };
    let gathered = trainer.gather(&Linear { weights, original: false }, 0).unwrap().unwrap();
    let [Some(Gradient::Placed(sum))] = &gathered.gradients[..] else {
        panic!("numbers of a host")
    };
    // a half of the first source's gradients and the whole of the second's, over three micro-batches
    let expected =
        [(0.5 * (3. + 1. - 2.) + 0.5 + 1.) / 3., (0.5 * (-1. + 1. + 0.25) + 2. + 1.) / 3.];
    let sum: Vec<f64> = sum.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect();
    assert!(near(&sum, &expected), "{sum:?}");
    assert_eq!(gathered.n_tokens, 5);
}

/// A loss that is told, of three examples; its gradient is 0.
struct Told(Var);

impl Task for Told {
    type Batch = usize;

    fn batches(&self, step: usize) -> impl Iterator<Item = usize> {
        std::iter::once(step)
    }

    fn loss(&self, step: usize) -> Result<Option<Tensor>> {
        let told = if step < 14 { 1. + (step % 4) as f64 } else { 40.5 };
        Ok(Some(((self.0.as_tensor().sum_all()? * 0.)? + told)?))
    }

    fn n_tokens(&self, _: &usize) -> usize {
        1
    }

    fn own_losses(&self, _: &usize) -> Result<Vec<(String, f64)>> {
        let told = [("row 3", 60.), ("row 4", 1.5), ("row 5", 100.)];
        Ok(told.map(|(name, loss)| (name.to_owned(), loss)).to_vec())
    }

    fn validate(&self, _: usize) -> Result<Validation> {
        Ok(Validation::Nothing)
    }

    fn kept(&self) -> Result<HashMap<String, Tensor>> {
        Ok(HashMap::new())
    }
}

#[test]
fn an_exploding_loss_ends_a_training_with_the_state_saved_and_names_whose_it_is() {
    let state = tempfile::tempdir().unwrap();
    let go = || {
        let weights = Var::new(&[1f32], &Device::Cpu).unwrap();
        let variables = vec![("w".to_owned(), weights.clone())];
        let trainer = Trainer {
            optimizer: Optimizer::new(&nn::Device::cpu(), variables, 1., 0., |_| (1., 0.)).unwrap(),
            schedule: Schedule {
                peak: 0.1,
                n_steps: 20,
                warmup_steps: 1,
                final_share: 0.,
                shape: LrSchedule::Constant,
                compat: Compat::None,
            },
            rhythm: Rhythm {
                n_steps: 20,
                validate_every: 1,
                checkpoint_every: 100,
                best_by: LOSS,
                patience: None,
                max_time: None,
            },
            state: state.path(),
            reduce: &Alone,
            observer: &mut |_| ControlFlow::Continue(()),
        };
        trainer.run(&Told(weights), Progression::default()).map(|_| ()).unwrap_err().to_string()
    };
    let said = go();
    assert!(said.starts_with("the loss of step 15 is 40.5000, more than ten times"), "{said}");
    assert!(said.contains("ten steps, 4.0000 (of row 5, row 3): lower"), "{said}");
    assert!(state.path().join("step-000014").is_dir());
    // started again, it goes on there and ends for the same reason
    assert_eq!(go(), said);
}
