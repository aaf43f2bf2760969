//! The axes out of the XML that a CIFTI file carries in its header.
//!
//! Source: CIFTI-2 specification, 1 March 2014, sections on `MatrixIndicesMap` and below.

use roxmltree::Node;

use super::axes::{
    BrainModel, BrainModelsAxis, CiftiAxis, CiftiParcel, CiftiVolume, LabelMap, Places, SeriesAxis,
};
use crate::{
    error::brief,
    xml::{self, Parsed, attribute, child, children, number},
};

/// Axes of the largest files take some tens of megabytes.
const MAX_BYTES: usize = 512 << 20;

/// The axes of both dimensions.
pub(super) fn axes(text: &str) -> Parsed<[CiftiAxis; 2]> {
    xml::read(text, MAX_BYTES, "CIFTI", parsed)
}

fn parsed(root: Node) -> Parsed<[CiftiAxis; 2]> {
    let version = attribute(root, "Version")?;
    if !(version == "2" || version.starts_with("2.")) {
        return Err(format!("it is CIFTI version {version}, expected 2"));
    }
    let matrix = child(root, "Matrix")?;
    let axis = |dimension: &str| {
        let applies = |node: &Node| {
            let dimensions = node.attribute("AppliesToMatrixDimension").unwrap_or_default();
            dimensions.split(',').any(|d| d.trim() == dimension)
        };
        let map = children(matrix, "MatrixIndicesMap").find(applies);
        map.ok_or_else(|| format!("nothing describes its dimension {dimension}")).and_then(axis)
    };
    Ok([axis("0")?, axis("1")?])
}

fn axis(map: Node) -> Parsed<CiftiAxis> {
    match attribute(map, "IndicesMapToDataType")? {
        "CIFTI_INDEX_TYPE_SERIES" => series(map).map(CiftiAxis::Series),
        "CIFTI_INDEX_TYPE_BRAIN_MODELS" => brain_models(map).map(CiftiAxis::BrainModels),
        "CIFTI_INDEX_TYPE_PARCELS" => {
            children(map, "Parcel").map(parcel).collect::<Parsed<_>>().map(CiftiAxis::Parcels)
        }
        "CIFTI_INDEX_TYPE_SCALARS" => {
            let names = children(map, "NamedMap").map(map_name);
            Ok(CiftiAxis::Scalars(names.collect()))
        }
        "CIFTI_INDEX_TYPE_LABELS" => {
            children(map, "NamedMap").map(label_map).collect::<Parsed<_>>().map(CiftiAxis::Labels)
        }
        other => Err(format!("an axis is of type {other}, which is not in the standard")),
    }
}

fn series(map: Node) -> Parsed<SeriesAxis> {
    let exponent: i32 = number(map, "SeriesExponent")?;
    if !(-30..=30).contains(&exponent) {
        return Err(format!("SeriesExponent is {exponent}, expected a power of ten of a unit"));
    }
    // Dividing by a whole power keeps 720 ms at 0.72 s; multiplying by 0.001 would not.
    let scaled = |x: f64| {
        let power = 10_f64.powi(exponent.abs());
        if exponent < 0 { x / power } else { x * power }
    };
    Ok(SeriesAxis {
        start: scaled(number(map, "SeriesStart")?),
        step: scaled(number(map, "SeriesStep")?),
        unit: attribute(map, "SeriesUnit")?.to_owned(),
        n_points: number(map, "NumberOfSeriesPoints")?,
    })
}

fn brain_models(map: Node) -> Parsed<BrainModelsAxis> {
    let volume = children(map, "Volume").next().map(volume).transpose()?;
    let mut models = children(map, "BrainModel").map(brain_model).collect::<Parsed<Vec<_>>>()?;
    models.sort_by_key(|model| model.offset);
    let mut next = 0;
    for model in &models {
        if model.offset != next {
            let (structure, offset) = (&model.structure, model.offset);
            return Err(format!("{structure} begins at {offset}, expected {next}"));
        }
        next += model.places.n_places();
    }
    Ok(BrainModelsAxis { models, volume })
}

fn brain_model(node: Node) -> Parsed<BrainModel> {
    let structure = attribute(node, "BrainStructure")?.to_owned();
    let places = match attribute(node, "ModelType")? {
        "CIFTI_MODEL_TYPE_SURFACE" => {
            let n_surface = number(node, "SurfaceNumberOfVertices")?;
            let vertices = match children(node, "VertexIndices").next() {
                Some(list) => whole_numbers(list)?,
                None => Vec::new(),
            };
            if let Some(vertex) = vertices.iter().find(|vertex| **vertex >= n_surface) {
                return Err(format!("{structure} has vertex {vertex} of {n_surface}"));
            }
            Places::Vertices { vertices, n_surface }
        }
        "CIFTI_MODEL_TYPE_VOXELS" => Places::Voxels(voxels(child(node, "VoxelIndicesIJK")?)?),
        other => return Err(format!("{structure} is of type {other}")),
    };
    let (count, found): (usize, _) = (number(node, "IndexCount")?, places.n_places());
    if count != found {
        return Err(format!("{structure} lists {found} places, expected {count}"));
    }
    Ok(BrainModel { structure, offset: number(node, "IndexOffset")?, places })
}

fn parcel(node: Node) -> Parsed<CiftiParcel> {
    let vertices = children(node, "Vertices")
        .map(|list| Ok((attribute(list, "BrainStructure")?.to_owned(), whole_numbers(list)?)));
    let voxels = match children(node, "VoxelIndicesIJK").next() {
        Some(list) => voxels(list)?,
        None => Vec::new(),
    };
    let name = attribute(node, "Name")?.to_owned();
    Ok(CiftiParcel { name, vertices: vertices.collect::<Parsed<_>>()?, voxels })
}

fn label_map(node: Node) -> Parsed<LabelMap> {
    let labels = xml::label_table(child(node, "LabelTable")?)?;
    Ok(LabelMap { name: map_name(node), labels })
}

fn map_name(node: Node) -> String {
    let name = children(node, "MapName").next().and_then(|name| name.text());
    name.unwrap_or_default().trim().to_owned()
}

fn volume(node: Node) -> Parsed<CiftiVolume> {
    let shape = attribute(node, "VolumeDimensions")?;
    let sizes: Option<Vec<usize>> = shape.split(',').map(|n| n.trim().parse().ok()).collect();
    let shape = sizes.and_then(|sizes| sizes.try_into().ok());
    let matrix = child(node, "TransformationMatrixVoxelIndicesIJKtoXYZ")?;
    let exponent: i32 = number(matrix, "MeterExponent")?;
    let entries: Option<Vec<f64>> = matrix
        .text()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|entry| entry.parse().ok())
        .collect();
    let entries: Option<[f64; 16]> = entries.and_then(|entries| entries.try_into().ok());
    let (Some(shape), Some(entries)) = (shape, entries) else {
        return Err("its volume needs three sizes and a matrix of sixteen numbers".to_owned());
    };
    // Millimetres are 10^-3 metres.
    let unit = 10_f64.powi((exponent + 3).clamp(-30, 30));
    let affine = std::array::from_fn(|i| {
        std::array::from_fn(|j| entries[4 * i + j] * if i < 3 { unit } else { 1.0 })
    });
    Ok(CiftiVolume { shape, affine })
}

fn voxels(list: Node) -> Parsed<Vec<[usize; 3]>> {
    let numbers = whole_numbers(list)?;
    let (voxels, rest) = numbers.as_chunks::<3>();
    if rest.is_empty() { Ok(voxels.to_vec()) } else { Err("a voxel needs three indices".into()) }
}

fn whole_numbers(list: Node) -> Parsed<Vec<usize>> {
    let parse = |number: &str| {
        number.parse().map_err(|_| format!("{:?} stands in a list of whole numbers", brief(number)))
    };
    list.text().unwrap_or_default().split_ascii_whitespace().map(parse).collect()
}
