use std::sync::Arc;

use ndarray::ArrayD;

use super::*;
use crate::flamingo::NEVER;
use crate::package::tests::{medium, package};

fn item(prompt: &str, media: Vec<Arc<crate::Medium>>) -> Scored {
    Scored { prompt: prompt.to_owned(), continuation: " viewing faces".to_owned(), media }
}

fn opened() -> (tempfile::TempDir, Model) {
    let root = package();
    let model = Model::open(&root.path().join("model")).unwrap();
    (root, model)
}

#[test]
fn the_tokens_are_the_text_and_as_likely_as_it_is() -> Result<()> {
    let (_root, model) = opened();
    let item = item("<image>viewing", vec![medium(1)]);
    let found = model.attribution(&item, NEVER)?;
    let text: String = found.tokens.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(text, item.continuation);
    let whole = model.log_likelihood(std::slice::from_ref(&item), 1)?[0];
    let scores = model.token_scores(&item, NEVER)?;
    for tokens in [&found.tokens, &scores] {
        let sum = LogLikelihood::of_tokens(tokens);
        assert_eq!(sum.n_tokens, whole.n_tokens);
        assert!((sum.sum - whole.sum).abs() < 1e-4, "{sum:?} {whole:?}");
    }
    // without a scan too, of which there is nothing to lean on
    let none = Scored { prompt: "viewing".to_owned(), media: Vec::new(), ..item };
    assert!(model.token_scores(&none, NEVER)?[0].log_prob < 0.);
    assert!(matches!(model.attribution(&none, NEVER), Err(Error::NoMedium)));
    assert!(matches!(
        model.attribution(&self::item("<image>", vec![medium(1)]), &|| true),
        Err(Error::Stopped)
    ));
    Ok(())
}

#[test]
fn text_looks_at_the_latest_image_and_at_all_of_it() -> Result<()> {
    let (_root, model) = opened();
    let found = model.attribution(&item("<image>a<image>b", vec![medium(1), medium(2)]), NEVER)?;
    assert_eq!(found.attention.len(), model.gates()?.len());
    for block in &found.attention {
        assert!((block.opening - 2f64.tanh()).abs() < 1e-6);
        assert!(block.media[0].iter().all(|it| *it == 0.));
        for row in block.media[1].rows() {
            assert!((row.sum() - 1.).abs() < 1e-5 && row.iter().all(|it| *it > 0.), "{row}");
        }
    }
    let mean = found.of_medium(1);
    assert_eq!(mean.dim().0, found.tokens.len());
    assert!(mean.rows().into_iter().all(|row| (row.sum() - 1.).abs() < 1e-5));
    Ok(())
}

/// The part by which values are changed.
const STEP: f32 = 0.02;

/// The log-likelihood of the text after a scan of several windows changed so.
fn likelihood(model: &Model, windows: &ArrayD<f32>, change: impl Fn(usize, f32) -> f32) -> f64 {
    let mut changed = windows.clone();
    changed.iter_mut().enumerate().for_each(|(at, it)| *it = change(at, *it));
    let item = item("<image>viewing", vec![Arc::new(changed)]);
    model.log_likelihood(&[item], 1).unwrap()[0].sum
}

#[test]
fn a_gradient_says_how_the_likelihood_changes_with_a_value() -> Result<()> {
    let (_root, model) = opened();
    let both = [medium(1), medium(2)];
    let windows = ndarray::stack![ndarray::Axis(0), both[0].view(), both[1].view()];
    // a scan of one window is filled up beside one of two
    let media = vec![medium(3), Arc::new(windows.clone())];
    let found = model.attribution(&item("<image>viewing<image>", media), NEVER)?;
    let shapes: Vec<_> =
        found.gradient.iter().map(|it| it.as_ref().unwrap().shape().to_vec()).collect();
    assert_eq!(shapes, [[1, 4, 5], [2, 4, 5]]);

    let item = item("<image>viewing", vec![Arc::new(windows.clone())]);
    let gradient = model.attribution(&item, NEVER)?.gradient.remove(0).unwrap();

    let slope = |of: &dyn Fn(usize) -> bool| {
        let at = |step: f32| {
            let change = |at, it: f32| if of(at) { it * (1. + step) } else { it };
            likelihood(&model, &windows, change)
        };
        (at(STEP) - at(-STEP)) / f64::from(2. * STEP)
    };
    let of_all = gradient.iter().map(|it| f64::from(*it)).sum::<f64>();
    let expected = slope(&|_| true);
    assert!((of_all - expected).abs() < 0.02 * expected.abs().max(0.05), "{of_all} {expected}");
    let mut largest = 0f64;
    for frame in 0..8 {
        let is_of = |at: usize| at / 5 == frame;
        let found: f64 = gradient
            .iter()
            .enumerate()
            .filter(|(at, _)| is_of(*at))
            .map(|(_, it)| f64::from(*it))
            .sum();
        let expected = slope(&is_of);
        assert!((found - expected).abs() < 0.0015, "frame {frame}: {found} {expected}");
        largest = largest.max(expected.abs());
    }
    assert!(largest > 0.02, "{largest}");
    Ok(())
}
