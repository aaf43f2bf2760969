use std::collections::HashMap;
use std::path::Path;

use candle_core::Var;
use candle_core::quantized::{GgmlDType, gguf_file};
use candle_nn::Init;

use super::*;
use crate::gradcheck::sample;
use crate::weights::{Frozen, save};

const SHAPE: (usize, usize) = (24, 256);

fn f32s(name: &str, shape: (usize, usize)) -> Result<Tensor> {
    sample(name, shape)?.as_detached_tensor().to_dtype(DType::F32)
}

/// The weight `w` of a safetensors file in an element type, kept at a precision.
fn kept(weight: &Tensor, stored: DType, precision: Precision) -> crate::Result<Matrix> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    save(file.path(), &HashMap::from([("w".to_owned(), weight.to_dtype(stored)?)]))?;
    let vb = Frozen::open(file.path())?.kept(precision).builder(DType::F32);
    Ok(vb.matrix(weight.dims2()?, "w", Init::Const(0.))?)
}

/// The weight `w` of a GGUF file.
fn of_gguf(weight: &Tensor, blocks: GgmlDType) -> crate::Result<Matrix> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let blocks = QTensor::quantize(weight, blocks)?;
    gguf_file::write(&mut file.reopen().expect("it is there"), &[], &[("w", &blocks)])?;
    let vb = Frozen::open(file.path())?.kept(Precision::Stored).builder(DType::F32);
    Ok(vb.matrix(weight.dims2()?, "w", Init::Const(0.))?)
}

/// Largest difference over the largest value of `b`.
fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
    let scale = b.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    let gap = (a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    Ok(gap / scale)
}

/// The product and its gradient with respect to `xs`, of few rows and of many, beside those of the
/// widened matrix.
fn check_product(matrix: &Matrix, forward: f64, backward: f64) -> Result<()> {
    check_one(matrix, forward, backward)?;
    let before = crate::kernel_calls();
    let composed = matrix.clone().on(&Device::cpu_composed())?;
    // candle gives sums of halves in halves, and rounds rows to bytes beside blocks
    let rounds = matches!(composed.kind, Kind::Stored(_, true) | Kind::Blocks(_));
    check_one(&composed, if rounds { forward.max(1e-2) } else { 1e-5 }, 1e-5)?;
    assert_eq!((composed.format(), composed.dims()?), (matrix.format(), matrix.dims()?));
    let ids = Tensor::new(&[3u32, 0, 3], &candle_core::Device::Cpu)?;
    assert_eq!(gap(&composed.rows(&ids)?, &matrix.rows(&ids)?)?, 0.);
    assert_eq!(crate::kernel_calls(), before, "{composed:?} used our kernels");
    Ok(())
}

fn check_one(matrix: &Matrix, forward: f64, backward: f64) -> Result<()> {
    let wide = matrix.to_tensor(DType::F32)?;
    let (n_out, n_in) = wide.dims2()?;
    for n_rows in [1, 5, 40] {
        let xs = Var::from_tensor(&f32s("x", (n_rows, n_in))?)?;
        let target = f32s("target", (n_rows, n_out))?;
        let loss = |ys: &Tensor| (ys * &target)?.sum_all()?.backward();
        let ours = matrix.product(&xs)?;
        let theirs = xs.matmul(&wide.t()?)?;
        assert!(gap(&ours, &theirs)? < forward, "{matrix:?}: {}", gap(&ours, &theirs)?);
        let (ours, theirs) = (loss(&ours)?, loss(&theirs)?);
        let [ours, theirs] = [ours, theirs].map(|it| it.get(&xs).expect("a gradient").clone());
        assert!(gap(&ours, &theirs)? < backward, "{matrix:?}: {}", gap(&ours, &theirs)?);
    }
    Ok(())
}

#[test]
fn a_bias_gives_the_bits_of_one_added_afterwards() -> Result<()> {
    let (weight, bias) = (f32s("w", SHAPE)?, f32s("b", (1, SHAPE.0))?.squeeze(0)?);
    let written = |precision| kept(&weight, DType::F32, precision).expect("it was just written");
    let mut matrices = [Precision::F32, Precision::Bf16, Precision::Q8_0].map(written).to_vec();
    matrices.push(weight.clone().into());
    for matrix in matrices {
        for n_rows in [1, 5, 40] {
            let xs = f32s("x", (n_rows, SHAPE.1))?;
            let (ours, after) =
                (matrix.affine(&xs, &bias)?, matrix.product(&xs)?.broadcast_add(&bias)?);
            assert_eq!(ours.to_vec2::<f32>()?, after.to_vec2::<f32>()?, "{matrix:?} {n_rows}");
            let var = Var::from_tensor(&xs)?;
            let gradient = |ys: Tensor| -> Result<Vec<Vec<f32>>> {
                let grads = ys.sqr()?.sum_all()?.backward()?;
                grads.get(&var).expect("a gradient").to_vec2()
            };
            let after = matrix.product(&var)?.broadcast_add(&bias)?;
            assert_eq!(gradient(matrix.affine(&var, &bias)?)?, gradient(after)?);
        }
        assert!(matrix.affine(&f32s("x", (1, SHAPE.1))?, &bias.narrow(0, 0, 3)?).is_err());
    }
    Ok(())
}

/// Central differences of a product in `f32`, along one input: exact but for rounding, because a
/// product is linear and steps of one are large.
fn check_differences(matrix: &Matrix) -> Result<()> {
    let xs = Var::from_tensor(&f32s("x", (2, SHAPE.1))?)?;
    let target = f32s("target", (2, SHAPE.0))?;
    let loss = |xs: &Tensor| (matrix.product(xs)? * &target)?.sum_all();
    let grads = loss(&xs)?.backward()?;
    let analytic = grads.get(&xs).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
    for at in [0, 31, 300] {
        let mut step = vec![0f32; 2 * SHAPE.1];
        step[at] = 1.;
        let step = Tensor::from_vec(step, xs.shape(), xs.device())?;
        let up = loss(&(xs.as_tensor() + &step)?)?.to_scalar::<f32>()?;
        let down = loss(&(xs.as_tensor() - &step)?)?.to_scalar::<f32>()?;
        let numeric = (up - down) / 2.;
        assert!((numeric - analytic[at]).abs() < 2e-3, "{matrix:?}: {numeric} {}", analytic[at]);
    }
    Ok(())
}

/// What the bytes of every thirty-two inputs stand for, whose largest becomes 127.
fn in_bytes(xs: &Tensor) -> Result<Tensor> {
    let values = xs.flatten_all()?.to_vec1::<f32>()?;
    let rounded = values.chunks(32).flat_map(|xs| {
        let largest = xs.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        xs.iter().map(move |x| (x * (127. / largest)).round_ties_even() * (largest / 127.))
    });
    Tensor::from_vec(rounded.collect(), xs.dims(), xs.device())
}

#[test]
fn kept_weights_multiply_as_their_widened_copies() -> crate::Result<()> {
    let weight = f32s("w", SHAPE)?;
    let frozen = Matrix::from(weight.clone());
    check_product(&frozen, 1e-6, 1e-6)?;
    check_differences(&frozen)?;
    for (stored, precision, format, mapped) in [
        (DType::F32, Precision::Stored, "F32", true),
        (DType::BF16, Precision::Stored, "BF16", true),
        (DType::F16, Precision::Stored, "F16", true),
        (DType::F64, Precision::Stored, "F32", false),
        (DType::BF16, Precision::F32, "F32", false),
        (DType::F32, Precision::Bf16, "BF16", false),
        (DType::F32, Precision::F16, "F16", false),
        (DType::BF16, Precision::Q8_0, "Q8_0", false),
        (DType::BF16, Precision::Bf16, "BF16", true),
    ] {
        let matrix = kept(&weight, stored, precision)?;
        assert_eq!((matrix.format().as_str(), matrix.is_mapped()), (format, mapped));
        let xs = f32s("x", (40, SHAPE.1))?;
        let rounded = match precision {
            Precision::Bf16 => Some(xs.to_dtype(DType::BF16)?.to_dtype(DType::F32)?),
            Precision::Q8_0 => Some(in_bytes(&xs)?),
            _ => None,
        };
        check_product(&matrix, if rounded.is_some() { 1e-2 } else { 1e-6 }, 1e-6)?;
        if let Some(rounded) = rounded {
            // the product of inputs that are rounded already, and no other
            let wide = matrix.to_tensor(DType::F32)?.t()?;
            for (n_rows, bound) in [(40, 1e-6), (5, if format == "Q8_0" { 5e-5 } else { 1e-6 })] {
                let theirs = rounded.narrow(0, 0, n_rows)?.matmul(&wide)?;
                let ours = matrix.product(&xs.narrow(0, 0, n_rows)?)?;
                assert!(gap(&ours, &theirs)? < bound, "{matrix:?}: {}", gap(&ours, &theirs)?);
            }
        } else {
            check_differences(&matrix)?;
        }
        // rounding once, and no more
        let error = if format == "Q8_0" { 1e-2 } else { 4e-3 };
        assert!(gap(&matrix.to_tensor(DType::F32)?, &weight)? < error, "{matrix:?}");
    }
    Ok(())
}

#[test]
fn blocks_of_gguf_stay_blocks() -> crate::Result<()> {
    use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let weight = f32s("w", SHAPE)?;
    let matrix = of_gguf(&weight, Q8_0)?;
    assert_eq!((matrix.format().as_str(), matrix.is_mapped()), ("Q8_0", true));
    check_product(&matrix, 5e-5, 1e-6)?;
    check_differences(&matrix)?;
    for blocks in [Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K] {
        let matrix = of_gguf(&weight, blocks)?;
        assert_eq!(matrix.format(), format!("{blocks:?}"));
        // the inputs are rounded to bytes, the gradient is not
        check_product(&matrix, 2e-2, 1e-6)?;
    }
    // rows of an odd number of blocks
    let weight = f32s("w", (24, 96))?;
    for blocks in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0] {
        check_product(&of_gguf(&weight, blocks)?, 2e-2, 1e-6)?;
    }
    Ok(())
}

#[test]
fn rows_are_those_of_the_widened_matrix() -> crate::Result<()> {
    let weight = f32s("w", SHAPE)?;
    let ids = Tensor::new(&[3u32, 0, 23, 3], &candle_core::Device::Cpu)?;
    let kept = |precision| kept(&weight, DType::BF16, precision);
    let matrices = [
        kept(Precision::Stored)?,
        kept(Precision::F32)?,
        kept(Precision::Q8_0)?,
        of_gguf(&weight, GgmlDType::Q4_1)?,
        of_gguf(&weight, GgmlDType::Q6K)?,
    ];
    for matrix in matrices {
        let wide = matrix.to_tensor(DType::F32)?.index_select(&ids, 0)?;
        assert_eq!(matrix.rows(&ids)?.to_vec2::<f32>()?, wide.to_vec2::<f32>()?, "{matrix:?}");
        let beyond = Tensor::new(&[24u32], &candle_core::Device::Cpu)?;
        assert!(matrix.rows(&beyond).is_err(), "{matrix:?}");
    }
    Ok(())
}

#[test]
fn a_pass_in_double_precision_reads_every_weight_so() -> crate::Result<()> {
    let weight = f32s("w", SHAPE)?.to_dtype(DType::BF16)?;
    let named = HashMap::from([("w".to_owned(), weight.clone())]);
    let frozen = Frozen::from_tensors(Path::new("w"), named).kept(Precision::Stored);
    let read = |dtype| frozen.builder(dtype).matrix(SHAPE, "w", Init::Const(0.));
    let (single, double) = (read(DType::F32)?, read(DType::F64)?);
    assert_eq!((single.format(), double.format()), ("BF16".to_owned(), "F64".to_owned()));
    let xs = sample("x", (3, SHAPE.1))?;
    let expected = xs.matmul(&weight.to_dtype(DType::F64)?.t()?)?;
    for matrix in [single, double] {
        assert!(gap(&matrix.product(&xs)?, &expected)? < 1e-14);
    }
    Ok(())
}

#[test]
fn rows_that_are_no_whole_blocks_stay_as_they_are() -> crate::Result<()> {
    let matrix = kept(&f32s("w", (8, 40))?, DType::BF16, Precision::Q8_0)?;
    assert_eq!(matrix.format(), "BF16");
    Ok(())
}
