//! Named schemas and discriminators for `oneOf` variants. Client generators merge unnamed variants into one type, which fits
//! none of them.

use serde_json::{Map, Value, json};

/// Moves every titled variant to a component of that name. A member with a single, different value in each variant becomes
/// the discriminator. Members that all variants share are repeated in the union, for generators that turn it into a base
/// class.
pub(super) fn name_variants(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return;
    };
    let mut named = Map::new();
    for union in schemas.values_mut().filter_map(Value::as_object_mut) {
        let Some(variants) = take_variants(union) else { continue };
        for (title, variant) in describe(union, variants) {
            named.insert(title, variant.into());
        }
    }
    schemas.extend(named);
    schemas.sort_keys();
}

/// A variant with its name.
type Named = (String, Map<String, Value>);

/// Takes the variants out of a union, if all of them have a title.
fn take_variants(union: &mut Map<String, Value>) -> Option<Vec<Named>> {
    let variants = union.get("oneOf")?.as_array()?.iter().cloned();
    let named = variants.map(|mut variant| {
        let variant = variant.as_object_mut()?;
        let Value::String(title) = variant.shift_remove("title")? else { return None };
        Some((title, std::mem::take(variant)))
    });
    named.collect()
}

fn describe(union: &mut Map<String, Value>, mut variants: Vec<Named>) -> Vec<Named> {
    let reference = |(title, _): &Named| format!("#/components/schemas/{title}");
    let references = variants.iter().map(|variant| json!({"$ref": reference(variant)})).collect();
    union.insert("oneOf".to_owned(), references);
    if let Some(tag) = tag(&variants) {
        variants.iter_mut().for_each(|(_, variant)| put_first(variant, &tag));
        let mapping: Map<String, Value> = variants
            .iter()
            .filter_map(|variant| Some((only_value(&variant.1, &tag)?.to_owned(), reference(variant).into())))
            .collect();
        union.insert("discriminator".to_owned(), json!({"propertyName": tag, "mapping": mapping}));
        move_examples(union, &mut variants, &tag);
    }
    let shared = shared(&variants);
    if !shared.is_empty() {
        union.insert("type".to_owned(), "object".into());
        union.insert("required".to_owned(), shared.keys().cloned().collect());
        union.insert("properties".to_owned(), shared.into());
    }
    variants
}

/// The discriminating member: one that has a single allowed value in each variant.
fn tag(variants: &[Named]) -> Option<String> {
    let (_, first) = variants.first()?;
    let mut members = first.get("properties")?.as_object()?.keys();
    members.find(|member| variants.iter().all(|(_, it)| only_value(it, member).is_some())).cloned()
}

fn only_value<'a>(variant: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    match variant.get("properties")?.get(member)?.get("enum")?.as_array()?.as_slice() {
        [Value::String(only)] => Some(only),
        _ => None,
    }
}

/// Moves each of the union's examples to its variant.
fn move_examples(union: &mut Map<String, Value>, variants: &mut [Named], tag: &str) {
    let examples = union.shift_remove("examples");
    for example in examples.iter().filter_map(Value::as_array).flatten() {
        let kind = example.get(tag).and_then(Value::as_str);
        if let Some((_, variant)) = variants.iter_mut().find(|(_, it)| only_value(it, tag) == kind) {
            variant.insert("example".to_owned(), example.clone());
        }
    }
}

/// Lists the discriminator first, where a reader expects it.
fn put_first(variant: &mut Map<String, Value>, tag: &str) {
    if let Some(members) = variant.get_mut("properties").and_then(Value::as_object_mut)
        && let Some(schema) = members.shift_remove(tag)
    {
        members.shift_insert(0, tag.to_owned(), schema);
    }
    if let Some(required) = variant.get_mut("required").and_then(Value::as_array_mut) {
        required.sort_by_key(|member| member != tag);
    }
}

/// The members that are identical in all variants.
fn shared(variants: &[Named]) -> Map<String, Value> {
    let Some((_, first)) = variants.first() else { return Map::new() };
    let members = first.get("properties").and_then(Value::as_object).into_iter().flatten();
    let is_in_all = |name: &str, schema: &Value| {
        variants.iter().all(|(_, it)| it.get("properties").and_then(|all| all.get(name)) == Some(schema))
    };
    members
        .filter(|(name, schema)| is_in_all(name, schema))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect()
}
