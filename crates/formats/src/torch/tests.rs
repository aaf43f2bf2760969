//! Files that PyTorch wrote, and tensors that do not fit their storages.

use crate::{
    Container, Dtype, Format, Value,
    testing::{file, fixture, refusal},
    torch::testing::{Pickle, archive},
};

fn opened(name: &str) -> Container {
    crate::open(&fixture(name)).unwrap()
}

fn names(container: &Container) -> Vec<&str> {
    container.entries().iter().map(|entry| entry.name.as_str()).collect()
}

/// Values of an f32 tensor.
fn floats(container: &Container, name: &str) -> Vec<f32> {
    let entry = container.get(name).unwrap_or_else(|| panic!("`{name}` in {:?}", names(container)));
    assert_eq!(entry.dtype, Dtype::F32, "{name}");
    let bytes = container.read(entry).unwrap();
    bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect()
}

fn ints(container: &Container, name: &str) -> (Vec<usize>, Vec<i64>) {
    let entry = container.get(name).unwrap();
    let bytes = container.read(entry).unwrap();
    let values = bytes.as_chunks().0.iter().map(|&value| i64::from_le_bytes(value)).collect();
    (entry.shape.clone(), values)
}

/// 0 to 5, `arange(6).reshape(2, 3)` of the generator.
const A: [f32; 6] = [0., 1., 2., 3., 4., 5.];

#[test]
fn a_dictionary_of_tensors_is_read() {
    let container = opened("dict.pt");
    assert_eq!((names(&container), container.format()), (vec!["w", "b"], Format::PyTorch));
    assert_eq!(floats(&container, "w"), A);
    assert_eq!(floats(&container, "b"), [0.5, -1.5]);
    let w = container.get("w").unwrap();
    assert_eq!((w.shape.as_slice(), &w.strides), ([2, 3].as_slice(), &None));
    let range = container.location(w).unwrap();
    let bytes = std::fs::read(container.path()).unwrap();
    let place = range.start as usize..range.end as usize;
    assert_eq!(bytes[place], A.map(f32::to_le_bytes).concat());
}

#[test]
fn a_state_dictionary_is_read_with_its_counters() {
    let container = opened("state_dict.pt");
    let expected = [
        "fc.weight",
        "fc.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ];
    assert_eq!(names(&container), expected);
    assert_eq!(floats(&container, "fc.weight"), A);
    assert_eq!(floats(&container, "norm.bias"), [30., 31.]);
    assert_eq!(ints(&container, "norm.num_batches_tracked"), (vec![], vec![0]));
}

#[test]
fn nested_dictionaries_are_selected_by_key() {
    let container = opened("nested.pt");
    let model = container.select("model_state_dict").unwrap();
    assert_eq!(names(&model), ["module.perceiver.latents"]);
    assert_eq!(floats(&model, "module.perceiver.latents"), A);
    assert_eq!(floats(&container, "optimizer_state_dict.state.0.step"), [7.]);
    let values = container.metadata();
    assert_eq!(values.get("epoch").and_then(Value::as_int), Some(3));
    let groups = values.get("optimizer_state_dict").and_then(|v| v.get("param_groups"));
    let group = &groups.and_then(Value::as_list).unwrap()[0];
    assert_eq!(group.get("lr").and_then(Value::as_float), Some(1e-4));
    assert_eq!(
        group.get("betas"),
        Some(&Value::List(vec![Value::Float(0.9), Value::Float(0.999)]))
    );
    let problem = container.select("state_dict").unwrap_err().to_string();
    assert!(problem.ends_with("found model_state_dict, optimizer_state_dict"), "{problem}");
}

#[test]
fn a_lightning_checkpoint_keeps_its_hyper_parameters() {
    let container = opened("lightning.ckpt");
    let model = container.select("state_dict").unwrap();
    assert_eq!(names(&model), ["model.w", "model.mask"]);
    let mask = model.get("model.mask").unwrap();
    assert_eq!((mask.dtype, model.read(mask).unwrap()), (Dtype::Bool, vec![1, 0]));
    let values = container.metadata();
    assert_eq!(values.get("pytorch-lightning_version").and_then(Value::as_text), Some("2.4.0"));
    let hyper = values.get("hyper_parameters").unwrap();
    assert_eq!(hyper.get("lr"), Some(&Value::Float(3e-4)));
    let args = hyper.get("args").unwrap();
    assert_eq!(args.get("depth").and_then(Value::as_int), Some(2_u8));
    assert_eq!(args.get("tags"), Some(&Value::List(vec![Value::Text("fmri".into())])));
    assert_eq!(args.get("when"), Some(&Value::Opaque("datetime.datetime".into())));
}

#[test]
fn views_come_out_row_major() {
    let container = opened("views.pt");
    // base counts to 24 in the shape (2, 3, 4)
    let base = |i: usize, j: usize, k: usize| (i * 12 + j * 4 + k) as i64;
    assert_eq!(ints(&container, "base"), (vec![2, 3, 4], (0..24).collect()));
    let mut turned = Vec::new();
    for k in 0..4 {
        for j in 0..3 {
            turned.extend((0..2).map(|i| base(i, j, k)));
        }
    }
    assert_eq!(ints(&container, "t"), (vec![4, 3, 2], turned));
    assert_eq!(ints(&container, "col"), (vec![2, 4], vec![4, 5, 6, 7, 16, 17, 18, 19]));
    assert_eq!(ints(&container, "step"), (vec![5], vec![3, 8, 13, 18, 23]));
    assert_eq!(ints(&container, "wide"), (vec![2, 4], vec![0, 1, 2, 3, 0, 1, 2, 3]));
    assert_eq!(ints(&container, "none"), (vec![0, 3, 4], vec![]));
    assert_eq!(container.location(container.get("t").unwrap()), None);
    assert!(container.location(container.get("base").unwrap()).is_some());
}

#[test]
fn every_element_type_has_its_size_and_values() {
    let container = opened("dtypes.pt");
    for (name, dtype, one) in [
        ("f64", Dtype::F64, 1_f64.to_le_bytes().to_vec()),
        ("f16", Dtype::F16, vec![0, 0x3c]),
        ("bf16", Dtype::BF16, vec![0x80, 0x3f]),
        ("f8e4m3", Dtype::F8E4M3, vec![0x38]),
        ("f8e5m2", Dtype::F8E5M2, vec![0x3c]),
        ("c64", Dtype::C64, [1_f32.to_le_bytes(), [0; 4]].concat()),
        ("c128", Dtype::C128, [1_f64.to_le_bytes(), [0; 8]].concat()),
        ("i64", Dtype::I64, 1_i64.to_le_bytes().to_vec()),
        ("i32", Dtype::I32, vec![1, 0, 0, 0]),
        ("i16", Dtype::I16, vec![1, 0]),
        ("i8", Dtype::I8, vec![1]),
        ("u8", Dtype::U8, vec![1]),
        ("u16", Dtype::U16, vec![1, 0]),
        ("u32", Dtype::U32, vec![1, 0, 0, 0]),
        ("u64", Dtype::U64, 1_u64.to_le_bytes().to_vec()),
        ("bool", Dtype::Bool, vec![1]),
    ] {
        let entry = container.get(name).unwrap();
        assert_eq!((entry.dtype, entry.shape.as_slice()), (dtype, [3].as_slice()), "{name}");
        let bytes = container.read(entry).unwrap();
        assert_eq!(bytes[one.len()..2 * one.len()], one, "{name}");
    }
    assert_eq!(container.entries().len(), 16);
}

#[test]
fn parameters_lists_and_bare_tensors_are_read_in_later_protocols() {
    let container = opened("parameter.pt");
    assert_eq!(floats(&container, "w"), A);
    assert_eq!(floats(&container, "scale"), [2.]);
    let container = opened("list.pt");
    assert_eq!(names(&container), ["0", "1.0", "1.1.x"]);
    assert_eq!(floats(&container, "1.1.x"), [0., 3., 1., 4., 2., 5.]);
    let container = opened("bare.pt");
    assert_eq!(container.only().unwrap().name, "");
    assert_eq!(floats(&container, ""), A);
}

#[test]
fn a_whole_module_has_the_names_of_its_state_dictionary() {
    let container = opened("module.pt");
    assert_eq!(names(&container), ["weight", "bias"]);
    assert_eq!(floats(&container, "weight"), A);
}

#[test]
fn a_torchscript_archive_has_dotted_parameter_names() {
    let container = opened("torchscript.pt");
    assert_eq!(container.format(), Format::TorchScript);
    let expected =
        ["visual.scale", "visual.conv1.weight", "visual.blocks.0.weight", "visual.blocks.0.bias"];
    assert_eq!(names(&container), expected);
    assert_eq!(floats(&container, "visual.conv1.weight"), [0., 1., 2., 3.]);
    assert_eq!(container.get("visual.conv1.weight").unwrap().shape, [2, 1, 2]);
    assert_eq!(floats(&container, "visual.blocks.0.bias"), [8.]);
}

#[test]
fn a_file_from_before_the_zip_format_is_read() {
    let container = opened("legacy.pt");
    assert_eq!(
        (names(&container), container.format()),
        (vec!["w", "shared"], Format::PyTorchLegacy)
    );
    assert_eq!(floats(&container, "w"), A);
    assert_eq!(floats(&container, "shared"), [3., 4., 5.]);
    assert_eq!(container.metadata().get("n").and_then(Value::as_int), Some(2));
}

#[test]
fn a_file_that_wants_to_call_the_shell_is_refused_by_name() {
    let problem = crate::open(&fixture("malicious.pt")).unwrap_err().to_string();
    let expected =
        "malicious.pt: the file wants to call `posix.system`, which no weight file needs; refused";
    assert!(problem.ends_with(expected), "{problem}");
}

#[test]
fn a_pickle_of_protocol_0_that_wants_to_call_the_shell_is_refused_by_name() {
    let pickle = b"cos\nsystem\n(S'echo x'\ntR.";
    let expected = "the file wants to call `os.system`, which no weight file needs; refused";
    assert_eq!(refusal(pickle), expected, "as a file of its own");
    assert_eq!(refusal(&archive(pickle.to_vec(), &[])), expected);
    let problem = refusal(b"(in brief: a text)\nof lines\n");
    assert!(problem.starts_with("is text that begins"), "{problem}");
}

#[test]
fn a_file_without_tensors_is_refused() {
    let container = archive(Pickle::new(2).dict(&[("epoch", &|p| p.int(3))]).stop(), &[]);
    let problem = refusal(&container);
    assert_eq!(problem, "holds no tensors, expected at least one; found a dictionary of epoch");
    let problem = refusal(&archive(Pickle::new(2).op(b"]").stop(), &[]));
    assert!(problem.ends_with("found a list of 0 values"), "{problem}");
}

/// A bare tensor over a storage of 8 bytes.
fn bare(kind: &str, n: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    archive(Pickle::new(2).tensor(kind, "0", n, offset, shape, strides).stop(), &[&[1; 8]])
}

#[test]
fn tensors_that_do_not_fit_their_storage_are_refused_in_a_sentence() {
    for (bytes, expected) in [
        (bare("FloatStorage", 2, 0, &[3], &[1]), "reaches beyond its storage of 8 bytes"),
        (bare("FloatStorage", 2, 1, &[2], &[1]), "reaches beyond"),
        (bare("FloatStorage", 2, 3, &[0], &[1]), "reaches beyond"),
        (bare("FloatStorage", 2, 0, &[2, 2], &[2, 1]), "reaches beyond"),
        (bare("FloatStorage", 2, 0, &[i64::MAX], &[i64::MAX]), "reaches beyond"),
        (bare("FloatStorage", 2, 0, &[i64::MAX, 9], &[0, 0]), "reaches beyond"),
        (bare("FloatStorage", 2, 0, &[1 << 40], &[0]), "unfolds to 4398046511104 bytes"),
        (bare("FloatStorage", 3, 0, &[2], &[1]), "of 3 elements of F32, whose record has 8 bytes"),
        (bare("FloatStorage", 1, 0, &[1], &[1]), "of 1 elements of F32, whose record has 8 bytes"),
        (bare("FloatStorage", -2, 0, &[2], &[1]), "has -2 elements"),
        (bare("FloatStorage", 2, -1, &[2], &[1]), "offset, shape and strides do not agree"),
        (bare("FloatStorage", 2, 0, &[2], &[]), "offset, shape and strides do not agree"),
        (bare("FloatStorage", 2, 0, &[1; 65], &[1; 65]), "do not agree"),
        (bare("FloatStorage", 2, 0, &[-2], &[1]), "something else than sizes"),
        (bare("QInt8Storage", 1, 0, &[1], &[1]), "of type torch.QInt8Storage"),
        (bare("Evil", 1, 0, &[1], &[1]), "a storage of `torch.Evil` has 1 elements"),
    ] {
        let problem = refusal(&bytes);
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    let other = Pickle::new(2).tensor("FloatStorage", "../0", 2, 0, &[2], &[1]).stop();
    let problem = refusal(&archive(other, &[&[0; 8]]));
    assert!(problem.contains("the archive has no record `archive/data/../0`"), "{problem}");
}

#[test]
fn bytes_in_the_order_of_other_machines_are_refused() {
    let w = Pickle::new(2).tensor("FloatStorage", "0", 2, 0, &[2], &[1]).stop();
    let records = [("a/data.pkl", w), ("a/byteorder", b"big".to_vec()), ("a/data/0", vec![0; 8])];
    let problem = refusal(&crate::torch::testing::zip(&records));
    assert!(problem.contains("most significant byte first"), "{problem}");
}

#[test]
fn one_storage_may_hold_many_tensors_but_only_one_description() {
    let a = |p: Pickle| p.tensor("FloatStorage", "0", 2, 0, &[1], &[1]);
    let b = |p: Pickle| p.tensor("FloatStorage", "0", 2, 1, &[1], &[1]);
    let shared = file(&archive(Pickle::new(2).dict(&[("a", &a), ("b", &b)]).stop(), &[&[0; 8]]));
    assert_eq!(crate::open(shared.path()).unwrap().entries().len(), 2);
    let c = |p: Pickle| p.tensor("HalfStorage", "0", 4, 1, &[1], &[1]);
    let problem =
        refusal(&archive(Pickle::new(2).dict(&[("a", &a), ("c", &c)]).stop(), &[&[0; 8]]));
    assert!(problem.contains("describes storage `0` in two ways"), "{problem}");
}

#[test]
fn a_cut_legacy_file_is_refused() {
    let whole = std::fs::read(fixture("legacy.pt")).unwrap();
    let problem = refusal(&whole[..whole.len() - 1]);
    assert!(problem.contains("24 bytes are promised"), "{problem}");
}
