//! Protocol 0, as Python 3's `pickle.dumps(object, protocol=0)` writes it.

use super::*;

/// What `load` makes of such a pickle, as the value `x` of a checkpoint.
fn dumped(bytes: &[u8]) -> Value {
    value(|pickle| pickle.op(bytes))
}

fn ints(values: &[i128]) -> Value {
    Value::List(values.iter().map(|&n| Value::Int(n)).collect())
}

#[test]
fn a_call_is_refused_by_its_name_in_the_sentence_of_the_other_protocols() {
    // an object whose `__reduce__` is `(os.system, ('true',))`
    let posix = b"cposix\nsystem\np0\n(Vtrue\np1\ntp2\nRp3\n.";
    let expected = "the file wants to call `posix.system`, which no weight file needs; refused";
    assert_eq!(refusal(posix), expected);
    assert_eq!(problem(|pickle| pickle.op(&posix[..posix.len() - 1])), expected);
    assert_eq!(
        refusal(&Pickle::new(2).call("posix", "system", |p| p.text("true")).stop()),
        expected
    );
    // the same behind plain data, and called out of the memo
    let behind =
        b"(dp0\nVlr\np1\nF0.001\nsVepoch\np2\nI3\nsVx\np3\ncos\nsystem\np4\n0g4\n(Vtrue\ntRs.";
    assert!(refusal(behind).starts_with("the file wants to call `os.system`"));
}

#[test]
fn plain_objects_have_their_values() {
    let bytes = b"(dp0\nVepoch\np1\nI3\nsVlr\np2\nF0.001\nsVnames\np3\n(lp4\nVa\np5\naV\xe9\np6\n\
        aV\\u005c\\u000a\np7\naV\\u65e5\\u672c\np8\naV\\U0001f600\np9\nasVbig\np10\n\
        L1099511627776L\nsVyes\np13\nI01\nsVno\np14\nI00\nsVnone\np15\nNsVt\np16\n(I1\nI-2\n(ttp17\n\
        sVagain\np20\ng4\ns";
    let names = Value::List(["a", "é", "\\\n", "日本", "😀"].map(text).to_vec());
    let pair = |key: &str, value: Value| (key.to_owned(), value);
    let tuple = Value::List(vec![Value::Int(1), Value::Int(-2), ints(&[])]);
    let expected = vec![
        pair("epoch", Value::Int(3)),
        pair("lr", Value::Float(0.001)),
        pair("names", names.clone()),
        pair("big", Value::Int(1 << 40)),
        pair("yes", Value::Bool(true)),
        pair("no", Value::Bool(false)),
        pair("none", Value::None),
        pair("t", tuple),
        pair("again", names),
    ];
    assert_eq!(dumped(bytes), Value::Map(expected));
    let set = b"c__builtin__\nset\np0\n((lp1\nI1\naI2\natp2\nRp3\n";
    assert_eq!(dumped(set), ints(&[1, 2]));
    let object =
        b"ccopy_reg\n_reconstructor\np0\n(cargparse\nNamespace\np1\nc__builtin__\nobject\n\
        p2\nNtp3\nRp4\n(dp5\nVdepth\np6\nI2\nsb";
    assert_eq!(dumped(object), Value::Map(vec![pair("depth", Value::Int(2))]));
    let bytes = b"c_codecs\nencode\np0\n(Vhi\np1\nVlatin1\np2\ntp3\nRp4\n";
    assert_eq!(dumped(bytes), Value::Opaque("_codecs.encode".into()));
}

#[test]
fn numbers_and_texts_have_their_values() {
    for (bytes, expected) in [
        (&b"I1\n"[..], Value::Int(1)),
        (b"I0\n", Value::Int(0)),
        (b"L5\n", Value::Int(5)),
        (b"L-170141183460469231731687303715884105728L\n", Value::Int(i128::MIN)),
        (b"L170141183460469231731687303715884105728L\n", Value::Opaque("int".into())),
        (b"F1e+16\n", Value::Float(1e16)),
        (b"F-inf\n", Value::Float(f64::NEG_INFINITY)),
        (b"V\\\\u0041\\n\\\n", text("\\\\u0041\\n\\")),
        (b"V\\ud83d\n", Value::Opaque("str".into())),
        (b"V\\u00e\n", Value::Opaque("str".into())),
        (b"(lp300\nI1\na0g300\n", ints(&[1])),
    ] {
        assert_eq!(dumped(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn lines_that_are_broken_or_have_no_end_are_refused() {
    for (bytes, expected) in [
        (&b"Ione\n"[..], "an integer is not a number"),
        (b"L-L\n", "an integer is not a number"),
        (b"F1.5.\n", "a float is not a number"),
        (b"Np-1\n", "a place in the memo is not a number"),
        (b"Np4294967296\n", "a place in the memo is not a number"),
        (b"p0\n", "it takes from an empty stack"),
        (b"g99\n", "it recalls object 99, which it never kept"),
    ] {
        // nothing of the dictionary around it is within reach
        let problem = problem(|pickle| pickle.op(b"(").op(bytes));
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    let endless = |opcode: &[u8], n| problem(|pickle| pickle.op(opcode).op(&b"1".repeat(n)));
    for opcode in [b"I", b"F", b"p", b"g", b"c"] {
        let problem = endless(opcode, 2000);
        assert!(problem.ends_with("longer than 1024 bytes"), "{problem}");
    }
    for opcode in [b"L", b"S", b"V"] {
        let problem = endless(opcode, (1 << 20) + 1);
        assert!(problem.ends_with("longer than 1048576 bytes"), "{problem}");
    }
}

#[test]
fn circles_and_deep_nests_end_as_in_the_other_protocols() {
    assert_eq!(dumped(b"(lp7\ng7\naI1\na"), ints(&[1]));
    let deep = problem(|pickle| pickle.op(&b"(l".repeat(200)).op(&b"a".repeat(199)));
    assert!(deep.ends_with("nests deeper than 128"), "{deep}");
}

#[test]
fn a_file_of_tensors_saved_with_protocol_1_is_read() {
    let tensor = |pickle: Pickle| {
        pickle.call("torch._utils", "_rebuild_tensor_v2", |pickle| {
            let pickle = pickle.storage("FloatStorage", "0", 2).op(b"I0\n(I2\nt(I1\ntI00\n");
            pickle.call("collections", "OrderedDict", |pickle| pickle)
        })
    };
    let object = || Pickle(Vec::new()).dict(&[("w", &tensor)]).stop();
    let values = [0, 1, 2, 3, 4, 5, 6, 7];
    let legacy = [
        b"L119547037146038801333356L\n.I1001\n.(dp0\nVlittle_endian\np1\nI01\ns.".to_vec(),
        object(),
        b"(lp0\nV0\np1\na.".to_vec(),
        2_u64.to_le_bytes().to_vec(),
        values.to_vec(),
    ];
    for bytes in [archive(object(), &[&values]), legacy.concat()] {
        let file = file(&bytes);
        let container = crate::open(file.path()).unwrap();
        assert_eq!(container.read(container.get("w").unwrap()).unwrap(), values);
    }
}

#[test]
fn a_file_of_tensors_saved_with_protocol_0_is_refused_with_its_cure() {
    // as torch 2.8 writes it; its own torch.load cannot read it
    let object = b"(dp0\nVw\np1\nctorch._utils\n_rebuild_tensor_v2\np2\n\
        (P('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 4)\nI0\n(I4\ntp3\n(I1\ntp4\nI00\n\
        ccollections\nOrderedDict\np5\n(tRp6\ntp7\nRp8\ns.";
    let version = b"L119547037146038801333356L\n.I1001\n.(dp0\nVlittle_endian\np1\nI01\ns.";
    for bytes in [archive(object.to_vec(), &[&[0; 16]]), [&version[..], object].concat()] {
        let problem = refusal(&bytes);
        assert!(problem.starts_with("holds a persistent id of pickle protocol 0 (0x50"));
        let cure = "which is not read; save it with torch.save and pickle_protocol=2";
        assert!(problem.ends_with(cure), "{problem}");
    }
}
