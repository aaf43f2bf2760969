//! Calls without a call's opcode: objects of classes that reach the running system.

use super::*;

fn refused(name: &str) -> String {
    format!("the file wants to call `{name}`, which no weight file needs; refused")
}

/// `x` alone and beside a tensor, in an archive and in a file of its own.
fn assert_refused(name: &str, x: impl Fn(Pickle) -> Pickle) {
    let alone = x(Pickle::new(2)).stop();
    assert_eq!(refusal(&alone), refused(name), "a plain pickle");
    assert_eq!(refusal(&archive(alone, &[])), refused(name), "an archive of nothing else");
    for protocol in [2, 4] {
        assert_eq!(refusal(&beside(protocol, &x)), refused(name), "beside a tensor");
    }
}

const SYSTEM: [(&str, &str); 7] = [
    ("subprocess", "Popen"),
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("importlib", "import_module"),
    ("torch.hub", "load"),
    ("socket", "socket"),
];

#[test]
fn an_object_of_the_system_is_refused_by_its_class_name() {
    for (module, name) in SYSTEM {
        let full = format!("{module}.{name}");
        let id = |p: Pickle| p.global(module, name).text("id").op(b"\x85");
        assert_refused(&full, |p| id(p).op(b"\x81"));
        assert_refused(&full, |p| id(p).op(b"}\x92"));
        assert_refused(&full, |p| p.text(module).text(name).op(b"\x93)\x81"));
        assert_refused(&full, |p| {
            p.call("copyreg", "_reconstructor", |p| {
                p.global(module, name).global("builtins", "object").op(b"N")
            })
        });
        // the second class is the one whose `__init__` Python would run
        assert_refused(&full, |p| {
            p.call("copy_reg", "_reconstructor", |p| {
                p.global("a", "B").global(module, name).text("id")
            })
        });
    }
    assert_refused("builtins.eval", |p| p.global("__builtin__", "eval").op(b")\x81"));
    let dotted = |p: Pickle| p.global("torch.serialization", "os.system").op(b")\x81");
    assert_refused("torch.serialization.os.system", dotted);
}

#[test]
fn a_function_of_the_system_inside_another_is_refused_by_its_name() {
    for (module, name) in SYSTEM {
        let full = format!("{module}.{name}");
        let function = |p: Pickle| p.global(module, name);
        assert_refused(&full, |p| p.call("collections", "defaultdict", function));
        assert_refused(&full, |p| p.call("collections", "defaultdict", |p| function(p).op(b"}")));
        let wrapped = |class: &str, p: Pickle| function(p.global("functools", class));
        assert_refused(&full, |p| wrapped("partial", p).text("id").op(b"\x86\x81"));
        let object = |p: Pickle| p.global("a", "B").op(b")\x81");
        for hook in ["__setstate__", "append", "extend", "add", "__setitem__"] {
            let state = |p: Pickle| object(p).dict(&[(hook, &function)]).op(b"b");
            assert_refused(&full, |p| state(p).text("id").op(b"b"));
            let slots = |p: Pickle| object(p).op(b"N").dict(&[(hook, &function)]).op(b"\x86b");
            assert_refused(&full, slots);
        }
    }
    let state = |p: Pickle| p.dict(&[("__setstate__", &|p| p.global("mine", "run"))]).op(b"b");
    assert_refused("mine.run", |p| state(p.global("a", "B").op(b")\x81")));
}

#[test]
fn the_classes_of_real_checkpoints_stay_data() {
    let one = Value::Map(vec![("a".into(), Value::Int(1))]);
    for (module, name) in
        [("builtins", "list"), ("__builtin__", "dict"), ("builtins", "int"), ("mine", "Thing")]
    {
        let default = |p: Pickle| p.call("collections", "defaultdict", |p| p.global(module, name));
        assert_eq!(value(|p| default(p).op(b"U\x01aK\x01s")), one, "{module}.{name}");
    }
    let items = |p: Pickle| p.dict(&[("a", &|p| p.int(1))]);
    assert_eq!(value(|p| p.call("collections", "defaultdict", |p| items(p.op(b"N")))), one);
    for (module, name) in [
        ("argparse", "Namespace"),
        ("pytorch_lightning.utilities.parsing", "AttributeDict"),
        ("lightning.fabric.utilities.data", "AttributeDict"),
        ("collections", "OrderedDict"),
        ("omegaconf.dictconfig", "DictConfig"),
        ("__main__", "Config"),
        ("_io", "BytesIO"),
        ("builtins", "object"),
    ] {
        let object = |p: Pickle| p.global(module, name).op(b")\x81");
        assert_eq!(value(object), Value::Opaque(format!("{module}.{name}")));
        assert_eq!(value(|p| items(object(p)).op(b"b")), one, "{module}.{name}");
        let old = |p: Pickle| p.global(module, name).global("__builtin__", "object").op(b"N");
        let old = |p: Pickle| items(p.call("copy_reg", "_reconstructor", old)).op(b"b");
        assert_eq!(value(old), one, "{module}.{name}");
    }
    let path = |p: Pickle| p.call("pathlib", "PosixPath", |p| p.text("/").text("data"));
    assert_eq!(value(path), Value::Opaque("pathlib.PosixPath".into()));
    let partial = |p: Pickle| p.global("functools", "partial").global("mine", "loss");
    assert_eq!(
        value(|p| partial(p).op(b"\x85\x81")),
        Value::List(vec![Value::Opaque("mine.loss".into())])
    );
}

#[test]
fn a_mention_is_no_call() {
    let mention = || Value::Opaque("os.system".into());
    let function = |p: Pickle| p.global("os", "system");
    assert_eq!(value(function), mention());
    let attribute = |p: Pickle| p.global("a", "B").op(b")\x81").dict(&[("run", &function)]);
    assert_eq!(value(|p| attribute(p).op(b"b")), Value::Map(vec![("run".into(), mention())]));
}

#[test]
fn a_state_set_without_end_is_refused() {
    let again = |p: Pickle| {
        let state = p.op(b"}(").op(&b"NN".repeat(20_000)).op(b"uq\x01").global("a", "B");
        state.op(b")\x81").op(&b"h\x01b".repeat(2000))
    };
    let sentence = problem(again);
    assert!(sentence.contains("builds more than 8388608 objects"), "{sentence}");
}
