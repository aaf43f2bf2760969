//! The functions that a weight file may call. None is run: each only arranges data.

use super::{
    heap::{Element, Id, Instance, Object, Tensor},
    machine::Machine,
};
use crate::{
    dtype::Dtype,
    error::{Error, Result, plain},
};

/// torch's own limit on dimensions.
const MAX_DIMS: usize = 64;

/// Functions whose result is data that nobody asks for.
const OPAQUE: &[&str] = &[
    "_codecs.encode",
    "builtins.bytes",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.range",
    "builtins.slice",
    "builtins.xrange",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.PurePosixPath",
    "pathlib._local.WindowsPath",
    "torch.device",
    "torch.serialization._get_layout",
    // a shape and a type without values
    "torch._utils._rebuild_meta_tensor_no_storage",
    "uuid.UUID",
];

/// The result of a function on a tuple of arguments.
pub(super) fn call(machine: &mut Machine<'_, '_>, function: Id, arguments: Id) -> Result<Id> {
    let mut name = function_name(machine, function)?;
    let mut arguments = elements(machine, arguments)?.to_vec();
    // a subclass of Tensor: (function, class, arguments, state), one level deep
    if matches!(
        name.as_str(),
        "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type"
    ) && let &[function, _, inner, ..] = arguments.as_slice()
    {
        name = function_name(machine, function)?;
        arguments = elements(machine, inner)?.to_vec();
    }
    let first = arguments.first().copied();
    match name.as_str() {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => {
            tensor(machine, &arguments, None, arguments.get(6).copied())
        }
        "torch._utils._rebuild_tensor_v3" => {
            tensor(machine, &arguments, arguments.get(6).copied(), arguments.get(7).copied())
        }
        "collections.OrderedDict" => match first.map(|first| machine.heap.get(first)) {
            Some(Object::List(_)) => pairs(machine, &arguments),
            _ => Ok(first.unwrap_or(add(machine, Object::Dict(Vec::new()))?)),
        },
        "collections.defaultdict" => {
            if let Some(factory) = first {
                machine.check_wrapped(factory)?;
            }
            match arguments.get(1) {
                Some(&items) => Ok(items),
                None => add(machine, Object::Dict(Vec::new())),
            }
        }
        "collections.Counter" | "builtins.dict" => {
            Ok(first.unwrap_or(add(machine, Object::Dict(Vec::new()))?))
        }
        // the new collection is the old one: nothing else refers to that
        "collections.deque" | "builtins.set" | "builtins.frozenset" | "builtins.list"
        | "builtins.tuple" | "torch.Size" => {
            Ok(first.unwrap_or(add(machine, Object::List(Vec::new()))?))
        }
        "copyreg._reconstructor" => match arguments[..] {
            // Python makes the object by the second, of the class that is the first
            [class, base, state] => {
                machine.check_class(class, &[state])?;
                machine.check_class(base, &[state])?;
                machine.heap.charge(machine.cursor, 4)?;
                let (elements, items) = (Vec::new(), Vec::new());
                let instance = Instance { class, elements, items, state: Some(state) };
                add(machine, Object::Instance(Box::new(instance)))
            }
            _ => Err(machine.cursor.damaged("copyreg._reconstructor has no three arguments")),
        },
        "builtins.bool"
        | "builtins.float"
        | "builtins.int"
        | "builtins.str"
        | "torch._utils._rebuild_parameter"
        | "torch._utils._rebuild_parameter_with_state"
        | "torch.jit._pickle.build_boollist"
        | "torch.jit._pickle.build_doublelist"
        | "torch.jit._pickle.build_intlist"
        | "torch.jit._pickle.build_tensorlist"
        | "torch.jit._pickle.restore_type_tag" => {
            first.ok_or_else(|| machine.cursor.damaged(format!("`{name}` has no argument")))
        }
        name if OPAQUE.contains(&name) => add(machine, Object::Opaque(name.into())),
        name if name.starts_with("torch.") && name.contains("._rebuild_") => {
            let cure = "save plain dense tensors, `tensor.to_dense()` or `dequantize()`";
            Err(machine.cursor.source.unsupported(format!("a tensor built by `{name}`"), cure))
        }
        name => Err(refused(machine, name)),
    }
}

fn add(machine: &mut Machine<'_, '_>, object: Object) -> Result<Id> {
    machine.heap.add(machine.cursor, object)
}

/// The end of a file that wants to call this.
pub(super) fn refused(machine: &Machine<'_, '_>, name: &str) -> Error {
    Error::Call { path: machine.cursor.source.path.clone(), name: plain(name) }
}

/// The name of what is called, Python 2's modules under their new names.
pub(super) fn function_name(machine: &Machine<'_, '_>, function: Id) -> Result<String> {
    match machine.heap.get(function) {
        Object::Global(name) => Ok(match name.split_once('.') {
            Some(("__builtin__", name)) => format!("builtins.{name}"),
            Some(("copy_reg", name)) => format!("copyreg.{name}"),
            _ => name.to_string(),
        }),
        Object::Instance(instance) => match machine.heap.get(instance.class) {
            Object::Global(class) => Err(refused(machine, class)),
            _ => Err(refused(machine, "an object")),
        },
        _ => Err(refused(machine, "something that is no function")),
    }
}

/// The elements of a tuple.
pub(super) fn elements<'m>(machine: &'m Machine<'_, '_>, tuple: Id) -> Result<&'m [Id]> {
    match machine.heap.get(tuple) {
        Object::List(elements) => Ok(elements),
        _ => Err(machine.cursor.damaged("it has something else where a tuple belongs")),
    }
}

/// `OrderedDict([[key, value], …])`, as Python 2 wrote it.
fn pairs(machine: &mut Machine<'_, '_>, arguments: &[Id]) -> Result<Id> {
    let mut items = Vec::new();
    for &pair in elements(machine, arguments[0])? {
        match elements(machine, pair)? {
            &[key, value] => items.push((key, value)),
            _ => return Err(machine.cursor.damaged("an OrderedDict has an item that is no pair")),
        }
    }
    machine.heap.charge(machine.cursor, items.len())?;
    add(machine, Object::Dict(items))
}

/// `(storage, offset, shape, strides, …)`, with a type of its own where the storage is bytes.
fn tensor(
    machine: &mut Machine<'_, '_>,
    arguments: &[Id],
    dtype: Option<Id>,
    metadata: Option<Id>,
) -> Result<Id> {
    let &[storage, offset, shape, strides, ..] = arguments else {
        return Err(machine.cursor.damaged("a tensor has fewer than four parts"));
    };
    let Object::Storage(stored) = machine.heap.get(storage) else {
        return Err(machine
            .cursor
            .damaged("a tensor has something else where its storage belongs"));
    };
    let element = match dtype.map(|dtype| machine.heap.get(dtype)) {
        None => stored.element.clone(),
        Some(Object::Global(name)) => dtype_of(name),
        Some(_) => return Err(machine.cursor.damaged("a tensor's type is no type")),
    };
    let &Object::Int(offset) = machine.heap.get(offset) else {
        return Err(machine.cursor.damaged("a tensor's offset is no integer"));
    };
    let (shape, strides) = (sizes(machine, shape)?, sizes(machine, strides)?);
    let offset = u64::try_from(offset);
    let (Ok(offset), true) = (offset, shape.len() == strides.len() && shape.len() <= MAX_DIMS)
    else {
        return Err(machine.cursor.damaged("a tensor's offset, shape and strides do not agree"));
    };
    if let Some(Object::Dict(bits)) = metadata.map(|metadata| machine.heap.get(metadata))
        && bits.iter().any(|&(_, bit)| matches!(machine.heap.get(bit), Object::Bool(true)))
    {
        let cure = "save `tensor.resolve_conj().resolve_neg()`";
        return Err(machine.cursor.source.unsupported("a conjugated or negated view", cure));
    }
    machine.heap.charge(machine.cursor, 4 + shape.len() / 2)?;
    let tensor = Tensor { storage, element, offset, shape, strides };
    add(machine, Object::Tensor(Box::new(tensor)))
}

fn sizes(machine: &Machine<'_, '_>, tuple: Id) -> Result<Vec<usize>> {
    let elements = elements(machine, tuple)?;
    let sizes = elements.iter().take(MAX_DIMS + 1).map(|&size| match machine.heap.get(size) {
        Object::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    });
    sizes.collect::<Option<_>>().ok_or_else(|| {
        machine.cursor.damaged("a tensor's shape or strides hold something else than sizes")
    })
}

/// `torch.FloatStorage`, wherever it was on which device.
pub(super) fn storage_type(class: &str) -> Option<Element> {
    let kind = class.strip_prefix("torch.")?.rsplit('.').next()?.strip_suffix("Storage")?;
    Some(Element::Known(match kind {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Float8_e4m3fn" => Dtype::F8E4M3,
        "Float8_e5m2" => Dtype::F8E5M2,
        "ComplexDouble" => Dtype::C128,
        "ComplexFloat" => Dtype::C64,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" | "Untyped" | "_Untyped" => Dtype::U8,
        "Bool" => Dtype::Bool,
        _ => return Some(Element::Other(class.into())),
    }))
}

fn dtype_of(name: &str) -> Element {
    Element::Known(match name {
        "torch.float64" => Dtype::F64,
        "torch.float32" => Dtype::F32,
        "torch.float16" => Dtype::F16,
        "torch.bfloat16" => Dtype::BF16,
        "torch.float8_e4m3fn" => Dtype::F8E4M3,
        "torch.float8_e5m2" => Dtype::F8E5M2,
        "torch.complex128" => Dtype::C128,
        "torch.complex64" => Dtype::C64,
        "torch.int64" => Dtype::I64,
        "torch.int32" => Dtype::I32,
        "torch.int16" => Dtype::I16,
        "torch.int8" => Dtype::I8,
        "torch.uint64" => Dtype::U64,
        "torch.uint32" => Dtype::U32,
        "torch.uint16" => Dtype::U16,
        "torch.uint8" => Dtype::U8,
        "torch.bool" => Dtype::Bool,
        _ => return Element::Other(name.into()),
    })
}
