//! Models in several files, as llama-gguf-split writes them.

use std::path::PathBuf;

use super::*;

/// A model in three parts, each key of which `edit` may change.
fn parts(edit: impl Fn(usize, &mut Keys)) -> Result<(tempfile::TempDir, Vec<f32>)> {
    let folder = tempfile::tempdir().unwrap();
    let lm = LmConfig::Llama(config());
    let (mut stored, tensors) = stored(&config(), &lm, &[GgmlDType::Q8_0], &[])?;
    let (n_tensors, third) = (stored.len(), stored.len() / 3);
    for idx in 0..3 {
        let mut keys = if idx == 0 { metadata(&config()) } else { Keys::new() };
        for (key, value) in [("no", idx), ("count", 3)] {
            keys.insert(format!("split.{key}"), Value::U16(value as u16));
        }
        keys.insert("split.tensors.count".to_owned(), Value::I32(n_tensors as i32));
        edit(idx, &mut keys);
        let n = if idx == 2 { stored.len() } else { third };
        let part: Vec<_> = stored.drain(..n).collect();
        write(&part_in(&folder, idx), &keys, &part)?;
    }
    let frozen = Frozen::from_tensors(Path::new("memory"), tensors);
    let expected = logits(&*lm.build(frozen.builder(DType::F32))?)?;
    Ok((folder, expected))
}

fn part_in(folder: &tempfile::TempDir, idx: usize) -> PathBuf {
    folder.path().join(format!("tiny-00002-of-0-{:05}-of-00003.gguf", idx + 1))
}

fn refused(folder: &tempfile::TempDir, idx: usize) -> String {
    open(&part_in(folder, idx), Precision::F32).err().expect("is refused").to_string()
}

#[test]
fn any_part_opens_the_whole_model() -> Result<()> {
    let (folder, expected) = parts(|_, _| {})?;
    let all: Vec<PathBuf> = (0..3).map(|idx| part_in(&folder, idx)).collect();
    for part in &all {
        assert_eq!(logits(&*open(part, Precision::F32)?.lm)?, expected);
        assert_eq!(crate::files(part)?, all);
    }
    Ok(())
}

#[test]
fn parts_that_are_missing_or_of_another_model_are_named() -> Result<()> {
    let (folder, _) = parts(|_, _| {})?;
    std::fs::copy(part_in(&folder, 0), folder.path().join("tiny.gguf")).unwrap();
    let error = open(&folder.path().join("tiny.gguf"), Precision::F32).err().unwrap().to_string();
    assert!(error.contains("tiny.gguf: is one of 3 parts of a model, expected a name"), "{error}");
    std::fs::copy(part_in(&folder, 0), part_in(&folder, 1)).unwrap();
    let error = refused(&folder, 0);
    assert!(
        error.contains("00002-of-00003.gguf: its split.no and split.count are 0 and 3"),
        "{error}"
    );
    std::fs::remove_file(part_in(&folder, 2)).unwrap();
    let error = refused(&folder, 2);
    assert!(error.contains("cannot be read") || error.contains("No such file"), "{error}");
    std::fs::remove_file(part_in(&folder, 1)).unwrap();
    let error = refused(&folder, 0);
    assert!(error.contains("one of 3 parts of a model, but tiny-00002-of-0-00002-of"), "{error}");

    let count = |idx: usize, keys: &mut Keys| {
        let n = Value::I32(if idx == 0 { 99 } else { 0 });
        keys.insert("split.tensors.count".to_owned(), n);
    };
    let (folder, _) = parts(count)?;
    assert!(refused(&folder, 1).contains("tensors, expected 99"));
    Ok(())
}
