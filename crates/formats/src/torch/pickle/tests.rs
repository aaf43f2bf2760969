//! What the machine builds, and what it refuses.

use crate::{
    Value,
    testing::{file, refusal},
    torch::testing::{Pickle, archive},
};

mod calls;
mod lines;

/// A checkpoint of one tensor `w` beside a value `x` that pushes itself.
fn beside(protocol: u8, x: &dyn Fn(Pickle) -> Pickle) -> Vec<u8> {
    let w = |pickle: Pickle| pickle.tensor("FloatStorage", "0", 2, 0, &[2], &[1]);
    archive(Pickle::new(protocol).dict(&[("w", &w), ("x", x)]).stop(), &[&[0; 8]])
}

/// The value that `x` becomes.
fn value(x: impl Fn(Pickle) -> Pickle) -> Value {
    let file = file(&beside(2, &x));
    let container = crate::open(file.path()).unwrap();
    assert_eq!(container.entries().len(), 1);
    container.metadata().get("x").unwrap().clone()
}

/// What is said about a file with `x` in it.
fn problem(x: impl Fn(Pickle) -> Pickle) -> String {
    refusal(&beside(2, &x))
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn scalars_have_their_values() {
    for (bytes, expected) in [
        (&b"N"[..], Value::None),
        (b"\x88", Value::Bool(true)),
        (b"J\xfe\xff\xff\xff", Value::Int(-2)),
        (b"K\xff", Value::Int(255)),
        (b"M\x01\x02", Value::Int(513)),
        (b"\x8a\x00", Value::Int(0)),
        (b"\x8a\x02\x00\x80", Value::Int(-32768)),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01", Value::Int(1 << 64)),
        (b"\x8b\x01\0\0\0\xff", Value::Int(-1)),
        (b"\x8a\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", Value::Opaque("int".into())),
        (b"G\x3f\xf8\0\0\0\0\0\0", Value::Float(1.5)),
        (b"X\x02\0\0\0\xc3\xa9", text("é")),
        (b"\x8c\x02hi", text("hi")),
        (b"\x8d\x02\0\0\0\0\0\0\0hi", text("hi")),
        (b"U\x02hi", text("hi")),
        (b"T\x02\0\0\0hi", text("hi")),
        (b"U\x01\xff", Value::Opaque("bytes".into())),
        (b"S'hi'\n", text("hi")),
        (b"S\"it's\"\n", text("it's")),
        (b"Vhi\n", text("hi")),
        (b"S'\\x68i'\n", Value::Opaque("str".into())),
        (b"C\x02hi", Value::Opaque("bytes".into())),
        (b"B\x02\0\0\0hi", Value::Opaque("bytes".into())),
        (b"\x8e\x02\0\0\0\0\0\0\0hi", Value::Opaque("bytes".into())),
        (b"\x96\x02\0\0\0\0\0\0\0hi", Value::Opaque("bytes".into())),
    ] {
        assert_eq!(value(|pickle| pickle.op(bytes)), expected, "{bytes:?}");
    }
}

#[test]
fn collections_and_the_memo_have_their_elements() {
    let list = |values: &[i128]| Value::List(values.iter().map(|&n| Value::Int(n)).collect());
    for (bytes, expected) in [
        (&b")"[..], list(&[])),
        (b"]K\x01a", list(&[1])),
        (b"](K\x01K\x02e", list(&[1, 2])),
        (b"(K\x01K\x02l", list(&[1, 2])),
        (b"K\x01K\x02K\x03\x87", list(&[1, 2, 3])),
        (b"\x8f(K\x01\x90", list(&[1])),
        (b"(K\x01K\x02\x91", list(&[1, 2])),
        (b"K\x01K\x020", Value::Int(1)),
        (b"K\x01(K\x02K\x031", Value::Int(1)),
        (b"K\x012\x86", list(&[1, 1])),
        (b"K\x07q\x050h\x05", Value::Int(7)),
        (b"K\x07r\x05\x01\0\x000j\x05\x01\0\0", Value::Int(7)),
        (b"K\x07\x940h\0", Value::Int(7)),
        (b"\x95\0\0\0\0\0\0\0\0K\x07", Value::Int(7)),
        (b"(U\x01aK\x01d", Value::Map(vec![("a".into(), Value::Int(1))])),
        (b"}K\x05K\x01s", Value::Map(vec![("5".into(), Value::Int(1))])),
        (b"})K\x01s", Value::Map(vec![("#0".into(), Value::Int(1))])),
    ] {
        assert_eq!(value(|pickle| pickle.op(bytes)), expected, "{bytes:?}");
    }
}

#[test]
fn plain_collections_are_rebuilt() {
    let one = Value::List(vec![Value::Int(1)]);
    for (module, name) in [
        ("builtins", "set"),
        ("__builtin__", "frozenset"),
        ("builtins", "list"),
        ("collections", "deque"),
        ("torch", "Size"),
        ("torch.jit._pickle", "build_intlist"),
    ] {
        assert_eq!(value(|p| p.call(module, name, |p| p.op(b"]K\x01a"))), one, "{name}");
    }
    let map = Value::Map(vec![("a".into(), Value::Int(1))]);
    let dict = |p: Pickle| p.dict(&[("a", &|p| p.int(1))]);
    assert_eq!(value(|p| p.call("collections", "Counter", dict)), map);
    let pairs = |p: Pickle| p.op(b"]](U\x01aK\x01ea");
    assert_eq!(value(|p| p.call("collections", "OrderedDict", pairs)), map);
    let default = |p: Pickle| p.global("builtins", "list");
    let filled = |p: Pickle| p.call("collections", "defaultdict", default).op(b"U\x01aK\x01s");
    assert_eq!(value(filled), map);
    assert_eq!(
        value(|p| p.call("torch", "device", |p| p.text("cuda"))),
        Value::Opaque("torch.device".into())
    );
    assert_eq!(value(|p| p.global("os", "system")), Value::Opaque("os.system".into()));
}

#[test]
fn objects_of_unknown_classes_are_their_state() {
    let depth = Value::Map(vec![("depth".into(), Value::Int(2))]);
    let state = |p: Pickle| p.dict(&[("depth", &|p| p.int(2))]);
    let object = |p: Pickle| p.global("argparse", "Namespace").op(b")\x81");
    assert_eq!(value(|p| state(object(p)).op(b"b")), depth);
    assert_eq!(value(|p| object(p).op(b"U\x05depthK\x02s")), depth);
    assert_eq!(value(|p| state(object(p).op(b"N")).op(b"\x86b")), depth);
    assert_eq!(value(object), Value::Opaque("argparse.Namespace".into()));
    assert_eq!(value(|p| state(p.global("a", "B").op(b")")).op(b"\x92")), depth);
    let reconstructed = |p: Pickle| p.global("a", "B").global("builtins", "object").op(b"N");
    assert_eq!(
        value(|p| state(p.call("copyreg", "_reconstructor", reconstructed)).op(b"b")),
        depth
    );
}

#[test]
fn an_unknown_function_is_refused_by_its_name_however_it_is_hidden() {
    let refused = |name: &str| {
        format!("the file wants to call `{name}`, which no weight file needs; refused")
    };
    for (module, name) in [
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("functools", "partial"),
        ("subprocess", "Popen"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.hub", "load"),
        ("pickle", "loads"),
    ] {
        let by_name = problem(|p| p.call(module, name, |p| p.text("true")));
        assert_eq!(by_name, refused(&format!("{module}.{name}")));
        let on_stack =
            |p: Pickle| p.text(module).text(name).op(b"\x93q\x090h\x09").text("true").op(b"\x85R");
        assert_eq!(problem(on_stack), refused(&format!("{module}.{name}")));
    }
    assert_eq!(
        problem(|p| p.call("__builtin__", "eval", |p| p.text("1"))),
        refused("builtins.eval")
    );
    // inside the function that rebuilds subclasses of Tensor
    let subclass = |p: Pickle| p.global("os", "system").op(b"N").op(b"U\x04true\x85N");
    let inner = problem(|p| p.call("torch._tensor", "_rebuild_from_type_v2", subclass));
    assert_eq!(inner, refused("os.system"));
    // an instance, called
    let instance = |p: Pickle| p.global("functools", "partial").op(b")\x81)R");
    assert_eq!(problem(instance), refused("functools.partial"));
    assert_eq!(problem(|p| p.op(b"N)R")), refused("something that is no function"));
}

#[test]
fn a_plain_pickle_with_a_call_is_refused_by_its_name_too() {
    let bytes = Pickle::new(4).call("nt", "system", |p| p.text("calc")).stop();
    assert!(refusal(&bytes).starts_with("the file wants to call `nt.system`"));
    let problem = refusal(&Pickle::new(4).dict(&[("a", &|p| p.int(1))]).stop());
    assert!(problem.starts_with("holds a plain Python pickle, which is not read"), "{problem}");
}

#[test]
fn a_subclass_of_tensor_is_its_tensor() {
    let arguments = |p: Pickle| {
        let inner = p.global("torch._utils", "_rebuild_tensor_v2").global("mine", "Image");
        let inner = inner.op(b"(").storage("FloatStorage", "0", 2).int(1).ints(&[1]).ints(&[1]);
        inner.op(b"\x89}t}")
    };
    let image = |p: Pickle| p.call("torch._tensor", "_rebuild_from_type_v2", arguments);
    let file =
        file(&archive(Pickle::new(2).dict(&[("x", &image)]).stop(), &[&[0, 0, 0, 0, 1, 2, 3, 4]]));
    let container = crate::open(file.path()).unwrap();
    assert_eq!(container.read(container.get("x").unwrap()).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn tensors_beyond_plain_dense_ones_are_named() {
    let tensor = |p: Pickle| p.call("torch._utils", "_rebuild_qtensor", |p| p);
    assert!(problem(tensor).contains("a tensor built by `torch._utils._rebuild_qtensor`"));
    let complex = |p: Pickle| p.tensor("ComplexFloatStorage", "0", 1, 0, &[1], &[1]);
    assert!(problem(complex).contains("storage `0` in two ways"));
    let bits = |p: Pickle| {
        let p = p.storage("FloatStorage", "0", 2).int(0).ints(&[2]).ints(&[1]).op(b"\x89N");
        p.dict(&[("neg", &|p| p.op(b"\x88"))])
    };
    let negated = problem(|p| p.call("torch._utils", "_rebuild_tensor_v2", bits));
    assert!(negated.contains("a conjugated or negated view"), "{negated}");
}

#[test]
fn broken_programs_are_refused_in_a_sentence() {
    for (bytes, expected) in [
        (&b"0000"[..], "it takes from an empty stack"),
        (b"(0", "it takes from an empty stack"),
        (b"tt", "it ends a sequence that it never began"),
        (b"h\x63", "it recalls object 99, which it never kept"),
        (b"}(Ku", "a dictionary has a key without a value"),
        (b"K\x01K\x02a", "it appends to something that is no list"),
        (b"]K\x01K\x02s", "it sets items of something that is no dictionary"),
        (b"K\x01)\x81", "it makes an object of something that is no class"),
        (b"NN\x93", "STACK_GLOBAL has no text for a name"),
        (b"NQ", "it has something else where a tuple belongs"),
        (b")Q", "a persistent id is no storage"),
        (b"X\x01\0\0\0\xff", "has text at byte"),
        (b"X\xff\xff\xff\x7f", "is truncated or damaged: 2147483647 bytes are promised"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "are promised at byte"),
        (b"\x95\xff\xff\0\0\0\0\0\0", "are promised at byte"),
        (b"\xff", "which is no opcode"),
        (b"P1\n", "a persistent id of pickle protocol 0 (0x50"),
        (b"Shi\n", "a string has no quotes around it"),
        (b"S'\n", "a string has no quotes around it"),
        (b"(ios\nsystem\n", "the file wants to call `os.system`"),
        (b"(cos\nsystem\nS'true'\no", "the file wants to call `os.system`"),
        (b"(o", "it calls a class that is not there"),
        (b"\x82\x01", "a name from copyreg's registry"),
        (b"\x97", "a buffer outside the pickle"),
        (b"\x80\x06", "holds pickle protocol 6, which is not read"),
    ] {
        let problem = problem(|pickle| pickle.op(bytes));
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}

#[test]
fn a_circle_is_walked_once_and_a_deep_nest_is_refused() {
    let circle = value(|p| p.op(b"]q\x07h\x07aK\x01a"));
    assert_eq!(circle, Value::List(vec![Value::Int(1)]));
    let problem = problem(|p| p.op(&b"]".repeat(200)).op(&b"a".repeat(199)));
    assert!(problem.ends_with("nests deeper than 128"), "{problem}");
}

#[test]
fn what_unfolds_without_end_is_refused() {
    // forty dictionaries, each of which holds the one before it twice
    let laughs = |p: Pickle| {
        (0..40_u8).fold(p.op(b"Nq\x00"), |p, n| p.op(&[b'h', n, b'h', n, 0x86, b'q', n + 1]))
    };
    let sentence = problem(laughs);
    assert!(sentence.contains("unfolds to more than 4194304 values"), "{sentence}");
    // a long list that is copied by every object made of it
    let copies = |p: Pickle| {
        let list = p.op(b"(").op(&b"N".repeat(10_000)).op(b"tq\x01").global("a", "B").op(b"q\x02");
        list.op(&b"h\x02h\x01\x81".repeat(1000))
    };
    let sentence = problem(copies);
    assert!(sentence.contains("builds more than 8388608 objects"), "{sentence}");
}
