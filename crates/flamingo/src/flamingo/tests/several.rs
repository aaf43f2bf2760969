//! Several media of a text, of several encoders.

use encoder::OmicsConfig;
use ndarray::{ArrayD, IxDyn};

use super::*;
use crate::{MediumConfig, OwnEncoder};

const OMICS: InputShape = InputShape::Columns { n: 3 };

/// A scan, and numbers of a person whose tokens have another width.
fn both() -> FlamingoConfig {
    let medium = |name: &str, own| MediumConfig { name: name.to_owned(), own };
    let encoder = EncoderConfig::Omics(OmicsConfig { n_tokens: 2, dim: 4 });
    let omics = OwnEncoder { encoder, input: OMICS };
    let mut config = config();
    config.media = vec![medium("rest", None), medium("omics", Some(omics))];
    config.gates.only_attend_immediate_media = false;
    config
}

fn medium(name: &str, dims: &[usize]) -> ArrayD<f32> {
    let values = nn::seeded::normal(5, name, dims.iter().product(), 0., 1.);
    let values = values.into_iter().map(|x| x as f32).collect();
    ArrayD::from_shape_vec(IxDyn(dims), values).unwrap()
}

fn scan(name: &str) -> ArrayD<f32> {
    medium(name, &[4, 5])
}

fn numbers(name: &str) -> ArrayD<f32> {
    medium(name, &[2, 3])
}

fn missing() -> ArrayD<f32> {
    ArrayD::zeros(IxDyn(&[0]))
}

/// The media of rows in f64, each with the numbers of their encoders.
fn input(rows: &[(&[ArrayD<f32>], &[usize])]) -> MediaInput {
    let mut input = MediaInput::sorted(rows, &[INPUT, OMICS], &nn::Device::cpu()).unwrap();
    for group in &mut input.groups {
        group.input.values = group.input.values.to_dtype(DType::F64).unwrap();
    }
    input
}

fn hidden(model: &Flamingo, text: &TextView, media: &MediaInput) -> Result<Tensor> {
    model.hidden(text, Some(&model.show(media)?), None)
}

#[test]
fn every_tensor_of_both_encoders_has_the_gradient_of_finite_differences() -> Result<()> {
    let (model, trained, _) = of(&both(), DType::F64, 0.7)?;
    let words = text(&[&[IMAGE, IMAGE, 4, 1], &[IMAGE, IMAGE, 7, 2]])?;
    // the second text lacks its scan, and its media stand the other way round
    let rows = [[scan("a"), numbers("a")], [numbers("b"), missing()]];
    let input = input(&[(&rows[0], &[0, 1]), (&rows[1], &[1, 0])]);
    let named: Vec<_> =
        trained.all().into_iter().filter(|(name, _)| !name.starts_with("lang_encoder")).collect();
    let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    let further: Vec<&str> =
        vars.iter().map(|it| it.0).filter(|name| name.starts_with("media.omics.")).collect();
    assert_eq!(
        further,
        ["encoder.embed.bias", "encoder.embed.weight", "map.weight"]
            .map(|it| { format!("media.omics.{it}") })
    );
    // encoder 3, resampler 14
    assert_eq!(vars.len(), 3 + 14 + 3);
    check(&vars, || hidden(&model, &words, &input)?.sin()?.sum_all())
}

#[test]
fn checkpointed_gradients_reach_every_encoder() -> Result<()> {
    let (model, trained, _) = of(&both(), DType::F64, 0.7)?;
    let words = text(&[&[IMAGE, IMAGE, 4, 1], &[IMAGE, IMAGE, 7, 2]])?;
    let rows = [[scan("a"), numbers("a")], [missing(), numbers("b")]];
    let input = input(&[(&rows[0], &[0, 1]), (&rows[1], &[0, 1])]);
    let media = model.show(&input)?;
    let whole = any_loss(&model.hidden(&words, Some(&media), None)?, media.latents())?;
    let expected = whole.backward()?;
    let (loss, found) =
        model.checkpointed(&input, &words, 1, |xs, latents, _| any_loss(xs, latents))?;
    assert!(gap(&loss, &whole)? < 1e-12);
    for (name, var) in trained.all() {
        let (found, expected) = (found.get(&var), expected.get(&var));
        assert_eq!(found.is_some(), expected.is_some(), "{name}");
        if let (Some(found), Some(expected)) = (found, expected) {
            let scale = expected.abs()?.max_all()?.to_scalar::<f64>()?.max(1e-30);
            assert!(gap(found, expected)? / scale < 1e-6, "{name}");
        }
    }
    Ok(())
}

#[test]
fn each_medium_goes_to_its_encoder_whatever_stands_beside_it() -> Result<()> {
    let (model, _, _) = of(&both(), DType::F64, 0.7)?;
    let two = text(&[&[IMAGE, IMAGE, 4, 1], &[IMAGE, IMAGE, 4, 1]])?;
    let one = text(&[&[IMAGE, IMAGE, 4, 1]])?;
    let rows = [[scan("a"), numbers("a")], [scan("b"), numbers("b")]];
    let both = hidden(&model, &two, &input(&[(&rows[0], &[0, 1]), (&rows[1], &[0, 1])]))?;
    for (at, row) in rows.iter().enumerate() {
        let alone = hidden(&model, &one, &input(&[(row, &[0, 1])]))?;
        assert!(gap(&both.narrow(0, at, 1)?, &alone)? < 1e-12);
    }
    // each of the two is seen
    let first = both.narrow(0, 0, 1)?;
    for row in [[scan("c"), numbers("a")], [scan("a"), numbers("c")]] {
        assert!(gap(&hidden(&model, &one, &input(&[(&row, &[0, 1])]))?, &first)? > 1e-6);
    }
    Ok(())
}

#[test]
fn a_missing_medium_is_masked_and_the_other_is_seen_as_if_alone() -> Result<()> {
    let (model, _, _) = of(&both(), DType::F64, 0.7)?;
    let words = text(&[&[IMAGE, IMAGE, 4, 1], &[IMAGE, IMAGE, 4, 1]])?;
    let lacking = [missing(), numbers("a")];
    let whole = [scan("b"), numbers("b")];
    let found = hidden(&model, &words, &input(&[(&lacking, &[0, 1]), (&whole, &[0, 1])]))?;
    // latents that nobody looks at change nothing
    let mut view =
        model.show(&input(&[(&[scan("z"), numbers("a")], &[0, 1]), (&whole, &[0, 1])]))?;
    view.present = Some(vec![vec![false, true], vec![true, true]]);
    assert!(gap(&model.hidden(&words, Some(&view), None)?, &found)? < 1e-12);
    // without any medium a text is as one that sees none
    let nothing = [missing(), missing()];
    let none = hidden(&model, &words, &input(&[(&nothing, &[0, 1]), (&nothing, &[0, 1])]))?;
    let alone = model.hidden(&words, None, None)?;
    assert!(
        gap(&none, &alone)? < 1e-12 && gap(&found.narrow(0, 0, 1)?, &none.narrow(0, 0, 1)?)? > 1e-6
    );
    // rows and their media go together
    let view = model.show(&input(&[(&lacking, &[0, 1]), (&whole, &[0, 1])]))?;
    let turned = model.hidden(&words, Some(&view.select(&[1, 0])?), None)?;
    assert!(gap(&turned.narrow(0, 1, 1)?, &found.narrow(0, 0, 1)?)? < 1e-12);
    Ok(())
}
