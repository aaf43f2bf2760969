//! Checkpoints and language models of different element types.

use super::*;

const OWN: &str = "model.embed_tokens.weight";

/// Rewrites the language model's file with values of another type.
fn store_lm(foreign: &Foreign, dtype: DType) -> Result<()> {
    let path = foreign.path("lm/model.safetensors");
    let own = Frozen::open(&path)?.tensors()?;
    let cast =
        own.iter().map(|(name, tensor)| Ok::<_, Error>((name.clone(), tensor.to_dtype(dtype)?)));
    save(&path, &cast.collect::<Result<HashMap<_, _>>>()?)?;
    Ok(())
}

/// The checkpoint's embedding with one row scaled.
fn scaled(matrix: &Tensor, row: usize, factor: f64) -> Result<Tensor> {
    let (before, after) =
        (matrix.narrow(0, 0, row)?, matrix.narrow(0, row + 1, matrix.dim(0)? - row - 1)?);
    let one = (matrix.narrow(0, row, 1)? * factor)?;
    Ok(Tensor::cat(&[&before, &one, &after], 0)?)
}

#[test]
fn a_copy_that_was_rounded_is_the_same_and_a_row_that_moved_further_is_not() -> Result<()> {
    for (dtype, within, beyond) in
        [(DType::F16, 1.0001, 1.002), (DType::BF16, 1.002, 1.02), (DType::F32, 1., 1.00001)]
    {
        let mut foreign = Foreign::new();
        let whole = foreign.checkpoint[EMBEDDING].clone();
        store_lm(&foreign, dtype)?;
        let own = Frozen::open(&foreign.path("lm/model.safetensors"))?;
        let own = own.stored(OWN)?.to_tensor(DType::F32)?;
        let gap = (&own - whole.narrow(0, 0, own.dim(0)?)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f32>()? > 0., dtype != DType::F32, "{dtype:?}");
        let imported = foreign.import()?;
        assert!(imported.moved.is_empty(), "{dtype:?}");
        assert_eq!(imported.repeated, 1);

        // of the rounded row: what is left of a bit is not noticed, more is
        let rounded = Tensor::cat(&[&own, &whole.narrow(0, own.dim(0)?, 3)?], 0)?;
        for (factor, has_moved) in [(within, false), (beyond, true)] {
            foreign.checkpoint.insert(EMBEDDING.into(), scaled(&rounded, 7, factor)?);
            foreign.store();
            let moved = foreign.import()?.moved;
            assert_eq!(moved.contains(&EMBEDDING.to_owned()), has_moved, "{dtype:?} {factor}");
        }
    }
    Ok(())
}

#[test]
fn numbers_too_small_for_half_precision_are_only_rounded() -> Result<()> {
    let mut foreign = Foreign::new();
    let row = (foreign.checkpoint[EMBEDDING].narrow(0, 7, 1)? * 1e-6)?;
    let whole = scaled(&foreign.checkpoint[EMBEDDING], 7, 1e-6)?;
    let path = foreign.path("lm/model.safetensors");
    let mut own = Frozen::open(&path)?.tensors()?;
    let n_rows = own[OWN].dim(0)?;
    own.insert(OWN.into(), whole.narrow(0, 0, n_rows)?.contiguous()?);
    save(&path, &own)?;
    foreign.checkpoint.insert(EMBEDDING.into(), whole);
    foreign.store();
    store_lm(&foreign, DType::F16)?;
    let half = row.to_dtype(DType::F16)?.to_dtype(DType::F32)?;
    let norm = |t: &Tensor| -> Result<f32> { Ok(t.sqr()?.sum_all()?.to_scalar()?) };
    assert!(norm(&(&half - &row)?)? > 1e-6 * norm(&row)?, "more than a bit of the row is lost");
    assert!(foreign.import()?.moved.is_empty());
    Ok(())
}
