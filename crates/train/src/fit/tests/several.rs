//! A scan that says nothing beside numbers of a person that say everything.

use encoder::OmicsConfig;
use flamingo::{MediumConfig, Model, OwnEncoder, Scored};

use super::tuned::card;
use super::*;

pub(super) fn several() -> FlamingoConfig {
    let own = OwnEncoder {
        encoder: EncoderConfig::Omics(OmicsConfig { n_tokens: 2, dim: 6 }),
        input: InputShape::Columns { n: 3 },
    };
    let mut config = config();
    config.gates.only_attend_immediate_media = false;
    config.media = vec![
        MediumConfig { name: "rest".to_owned(), own: None },
        MediumConfig { name: "omics".to_owned(), own: Some(own) },
    ];
    config
}

/// The sign of the numbers tells the words apart; every eighth person has no scan, every ninth no numbers.
pub(super) fn people(n: usize, name: &str) -> Vec<Example> {
    let one = |(at, example): (usize, Example)| {
        let sign = if at.is_multiple_of(2) { 1. } else { -1. };
        let numbers = [sign, 0.5 * sign, 0.1, 0., 0., 0.];
        let numbers = ndarray::Array2::from_shape_vec((2, 3), numbers.to_vec()).unwrap();
        let noise = nn::seeded::normal(4, &format!("{name} {at}"), 36, 0., 1.);
        let noise = noise.into_iter().map(|x| x as f32).collect();
        let scan = ndarray::Array2::from_shape_vec((6, 6), noise).unwrap();
        let missing = || ndarray::ArrayD::zeros(vec![0]);
        let scan = if at % 8 == 7 { missing() } else { scan.into_dyn() };
        let numbers = if at % 9 == 8 { missing() } else { numbers.into_dyn() };
        let prompt = "<image:rest><image:omics>Seen:".to_owned();
        Example { media: vec![Arc::new(scan), Arc::new(numbers)], prompt, ..example }
    };
    examples(n, name).into_iter().enumerate().map(one).collect()
}

#[test]
fn the_report_comes_to_depend_on_the_medium_that_tells_it() -> Result<()> {
    let run = Run { config: several(), ..Run::new(160) };
    let (train, validation) = (people(48, "train"), people(6, "validation"));
    let fitted = run.with("state", |inputs| {
        let inputs = FitInputs { train: &train, validation: &validation, ..*inputs };
        fit(&inputs, &mut |_| ControlFlow::Continue(()))
    })?;
    let package = run.root.path().join("package");
    fitted.save(&package, &card())?;
    let model = Model::open(&package)?;
    let nll = |scan: usize, numbers: usize, word: usize| -> Result<f64> {
        let shown = |at: usize| validation[at].shown().into_iter().map(Arc::new);
        let media = vec![shown(scan).next().unwrap(), shown(numbers).nth(1).unwrap()];
        let prompt = "<image:rest><image:omics>Seen:".to_owned();
        let continuation = validation[word].report.clone();
        Ok(model.log_likelihood(&[Scored { prompt, continuation, media }], 1)?[0].nll())
    };
    for (own, other) in [(0, 1), (1, 0), (2, 3)] {
        let right = nll(own, own, own)?;
        let (numbers, scan) = (nll(own, other, own)? - right, nll(other, own, own)? - right);
        assert!(numbers > 0.3, "{own}: with the numbers of another {numbers} more");
        assert!(scan.abs() < 0.1, "{own}: with the scan of another {scan} more");
    }
    Ok(())
}

#[test]
fn activation_checkpointing_learns_the_same_of_several_media() -> Result<()> {
    let (train, validation) = (people(24, "train"), people(6, "validation"));
    let go = |checkpointing: bool| {
        let mut run = Run { config: several(), ..Run::new(4) };
        run.fit.activation_checkpointing = checkpointing;
        run.with("state", |inputs| {
            let inputs = FitInputs { train: &train, validation: &validation, ..*inputs };
            fit(&inputs, &mut |_| ControlFlow::Continue(()))
        })
    };
    let (kept, again) = (go(false)?, go(true)?);
    let name = "media.omics.map.weight";
    let gap = (&kept.adapter[name] - &again.adapter[name])?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(gap < 1e-5, "{gap}");
    Ok(())
}
