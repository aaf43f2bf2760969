//! What a checkpoint holds of the language model: the special tokens' rows, and whatever else its
//! training moved.
//!
//! OpenFlamingo's checkpoint carries the whole embedding, which is the output head too where that is
//! tied. Its trainer moves the rows of the special tokens alone; under FSDP it moves them all, and
//! some kin train more of the language model. What is not the language model's own goes into the
//! package and takes its place there.

use std::collections::HashMap;

use candle_core::{D, DType, Tensor};
use lm::{CausalLm, Described};
use nn::{seeded, weights::constant};

use super::sort::{Sorted, is_head};
use super::{Import, numbers, unfit};
use crate::{Error, Fault, Result, Vocabulary};

/// Below this cosine two tensors have nothing to do with each other: a trained one stays near what
/// it began as, another model's is near nothing.
const KINSHIP: f64 = 0.5;

/// Tensors of the language model that the checkpoint moved.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) tensors: HashMap<String, Tensor>,
    /// Those that equal the language model's.
    pub(super) n_repeated: usize,
}

/// Compares each tensor with the language model's.
pub(super) fn moved(
    import: &Import,
    described: &Described,
    lm: &dyn CausalLm,
    vocabulary: &Vocabulary,
    sorted: &Sorted,
) -> Result<Moved> {
    let mut moved = Moved::default();
    let special = &vocabulary.special;
    let list = described.weights.list();
    for info in sorted.lm.list() {
        let refuse = |reason: String| Err(unfit(import.checkpoint, Fault::Pairing, reason));
        let name = &info.name;
        let is_rows = *name == format!("{}.weight", lm.shape().embedding_name) || is_head(name);
        let ours = described.config.rename(name).expect("buffers were left out");
        let Some(own) = list.iter().find(|own| own.name == ours) else {
            return refuse(format!(
                "`{name}` is no tensor of {}; it was trained with another language model",
                import.lm.display()
            ));
        };
        let (found, expected) = (&info.shape, &own.shape);
        let fits = if is_rows {
            found.len() == 2 && found.get(1) == expected.get(1)
        } else {
            found == expected
        };
        if !fits {
            return refuse(format!(
                "`{name}` is {found:?}, {} has {expected:?}; it was trained with another language \
                 model",
                import.lm.display()
            ));
        }
        // one a token, or rounded up for the sake of speed, or all that the language model has
        let rounded = [8, 32, 64, 128, 256].map(|step| special.end.next_multiple_of(step));
        let known = [special.end, expected[0].max(special.end)];
        if is_rows && !known.contains(&found[0]) && !rounded.contains(&found[0]) {
            return refuse(format!(
                "`{name}` has {} rows, the language model's tokenizer with Flamingo's special tokens \
                 has {}; is it the language model that it was trained with?",
                found[0], special.end
            ));
        }
        let (theirs, own_values) =
            (numbers(&sorted.lm, name)?, numbers(&described.weights, &ours)?);
        let n_rows = if is_rows { special.start } else { theirs.dim(0)? };
        let (a, b) = (theirs.narrow(0, 0, n_rows)?, own_values.narrow(0, 0, n_rows)?);
        let distance = Distance::of(&a, &b)?;
        if !distance.is_finite {
            let path = import.checkpoint.to_owned();
            return Err(Error::NotFinite { path, name: name.clone() });
        }
        if distance.is_rounding(&info.dtype, &own.dtype, is_rows) {
            moved.n_repeated += 1;
            continue;
        }
        let cosine = distance.cosine;
        if (cosine.is_nan() || cosine < KINSHIP) && !import.trained_lm {
            return refuse(format!(
                "`{name}` has nothing in common with the one of {} (cosine {cosine:.2}); it was \
                 trained with another language model, or say --trained-lm",
                import.lm.display()
            ));
        }
        // rows that only the language model's file has are kept, and never read
        let spare = own_values.dim(0)? - n_rows;
        let whole = Tensor::cat(&[&a, &own_values.narrow(0, n_rows, spare)?], 0)?;
        moved.tensors.insert(format!("lang_encoder.{name}"), whole);
    }
    Ok(moved)
}

/// How far a trained tensor is from what it began as.
struct Distance {
    /// Norm of the difference over the norm of the tensor.
    relative: f64,
    cosine: f64,
    /// Whether every value of the trained tensor is a number.
    is_finite: bool,
    /// Norm of each row's difference, and of the row that it began as.
    rows: Vec<(f64, f64)>,
    /// Values in a row.
    width: usize,
}

impl Distance {
    fn of(a: &Tensor, b: &Tensor) -> Result<Self> {
        // row by row: a sum over all in f32 would lose its last digits
        let sums = |tensor: Tensor| -> Result<Vec<f64>> {
            let sums = tensor.sum(D::Minus1)?.to_dtype(DType::F64)?;
            Ok(sums.flatten_all()?.to_vec1()?)
        };
        let total = |sums: &[f64]| sums.iter().sum::<f64>();
        let (of_difference, of_own) = (sums((a - b)?.sqr()?)?, sums(b.sqr()?)?);
        let (difference, bb) = (total(&of_difference), total(&of_own));
        let aa = total(&sums(a.sqr()?)?);
        let cosine = total(&sums((a * b)?)?) / (aa * bb).sqrt();
        let relative = if difference == 0. { 0. } else { (difference / bb).sqrt() };
        let rows = of_difference.iter().zip(&of_own);
        let rows = rows.map(|(difference, own)| (difference.sqrt(), own.sqrt())).collect();
        let is_finite = aa.is_finite();
        Ok(Self { relative, cosine, is_finite, rows, width: a.dim(D::Minus1)? })
    }

    /// Whether two copies of one tensor can be so far apart for their element types' sake.
    fn is_rounding(&self, theirs: &str, own: &str, is_rows: bool) -> bool {
        let (Some(theirs), Some(own)) = (Rounding::of(theirs), Rounding::of(own)) else {
            // quantised; of the vocabulary the checkpoint's own rows are always the better ones
            return self.relative <= if is_rows { 0. } else { 0.2 };
        };
        let coarser = if own.relative > theirs.relative { own } else { theirs };
        // every row by itself: one that moved would be lost among thousands that did not
        self.rows.iter().all(|&(difference, own)| coarser.allows(difference, own, self.width))
    }
}

/// The most that a number changes when it is rounded to the nearest one of an element type.
#[derive(Clone, Copy)]
struct Rounding {
    /// Of the number: half of its last bit.
    relative: f64,
    /// Where numbers are too small to keep all their bits: half of the smallest.
    absolute: f64,
}

impl Rounding {
    /// That of an element type; none for a quantised one.
    fn of(dtype: &str) -> Option<Self> {
        let (relative, absolute) = match dtype {
            // numbers are compared as F32: a copy of another width equals it bit by bit
            "F32" | "F64" => (0., 0.),
            // 11 bits, and no number smaller than 2^-24
            "F16" => (2f64.powi(-11), 2f64.powi(-25)),
            // 8 bits, and exponents as those of F32
            "BF16" => (2f64.powi(-8), 0.),
            _ => return None,
        };
        Some(Self { relative, absolute })
    }

    /// Whether a row of `width` values can be this far from a copy of this norm.
    fn allows(self, difference: f64, norm: f64, width: usize) -> bool {
        // what holds for each value holds for the norms; the sums were made in F32
        let slack = 1. + 1e-4;
        difference <= slack * (self.relative * norm + self.absolute * (width as f64).sqrt())
    }
}

/// The rows of the special tokens.
#[derive(Default)]
pub(super) struct SpecialRows {
    pub(super) tensors: HashMap<String, Tensor>,
    /// Tokens whose rows no file holds.
    pub(super) drawn: Vec<String>,
}

/// Takes the special tokens' rows out of the checkpoint's embedding and head, else of the language
/// model's spare rows, as OpenFlamingo's resize does, else draws them.
pub(super) fn special_rows(
    import: &Import,
    described: &Described,
    lm: &dyn CausalLm,
    vocabulary: &Vocabulary,
    sorted: &Sorted,
) -> Result<SpecialRows> {
    let special = &vocabulary.special;
    let mut found = SpecialRows::default();
    if special.is_empty() {
        return Ok(found);
    }
    let embedding = format!("{}.weight", lm.shape().embedding_name);
    let head = sorted.lm.list().into_iter().map(|info| info.name).find(|name| is_head(name));
    let own_head = ["lm_head.weight", "embed_out.weight"].map(str::to_owned);
    let own_head = own_head.into_iter().find(|name| described.weights.contains(name));
    let cut = |matrix: Tensor| Ok::<_, Error>(matrix.narrow(0, special.start, special.len())?);
    let spare = special.end <= lm.shape().vocab_size;
    let names = || special.clone().filter_map(|id| vocabulary.tokenizer.token(id as u32));
    let drawn = |which: &str| -> Result<Tensor> {
        let n = special.len() * lm.shape().embedding_dim;
        let values = seeded::normal(import.seed, which, n, 0., 0.02);
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        Ok(constant(values, (special.len(), lm.shape().embedding_dim))?)
    };

    let input = if sorted.lm.contains(&embedding) {
        cut(numbers(&sorted.lm, &embedding)?)?
    } else if let (true, Some(ours)) = (spare, described.config.rename(&embedding)) {
        cut(numbers(&described.weights, &ours)?)?
    } else {
        found.drawn.extend(names());
        drawn("special_rows")?
    };
    let place = format!("lang_encoder.{}", lm.shape().embedding_name);
    found.tensors.insert(format!("{place}.special_rows"), input.contiguous()?);
    if !lm.shape().tied {
        let output = if let Some(head) = head {
            cut(numbers(&sorted.lm, &head)?)?
        } else if let (true, Some(ours)) = (spare, own_head) {
            cut(numbers(&described.weights, &ours)?)?
        } else {
            found.drawn.extend(names().map(|name| format!("{name} (output)")));
            drawn("special_output_rows")?
        };
        found.tensors.insert(format!("{place}.special_output_rows"), output.contiguous()?);
    }
    Ok(found)
}
