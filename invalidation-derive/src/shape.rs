//! What kind of key a type can be.

use syn::{Data, DataEnum, DeriveInput, Error, Fields, Ident, Member, Type, spanned::Spanned};

/// The kinds of types that have a text.
pub(crate) enum Shape {
    /// The text of its only field.
    Newtype(Member, Box<Type>),
    /// The texts of its fields, joined.
    Several(Vec<(Member, Type)>),
    /// A struct without fields: its name.
    Unit,
    /// The name of the variant.
    Variants(Vec<Ident>),
}

impl Shape {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self, Error> {
        match &input.data {
            Data::Struct(data) => Ok(Self::of_struct(&data.fields)),
            Data::Enum(data) => Self::of_enum(&input.ident, data),
            Data::Union(data) => Err(Error::new(
                data.union_token.span(),
                "a union has no text: `CacheKey` can be derived for structs, and for enums whose variants have no fields",
            )),
        }
    }

    fn of_struct(fields: &Fields) -> Self {
        let mut members: Vec<_> = fields
            .members()
            .zip(fields.iter().map(|field| field.ty.clone()))
            .collect();
        match members.len() {
            0 => Self::Unit,
            1 => {
                let (member, ty) = members.remove(0);
                Self::Newtype(member, Box::new(ty))
            }
            _ => Self::Several(members),
        }
    }

    fn of_enum(name: &Ident, data: &DataEnum) -> Result<Self, Error> {
        if data.variants.is_empty() {
            return Err(Error::new(
                name.span(),
                "an enum without variants has no text",
            ));
        }
        let mut names = Vec::new();
        let mut refused: Option<Error> = None;
        for variant in &data.variants {
            if variant.fields.is_empty() {
                names.push(variant.ident.clone());
                continue;
            }
            let error = Error::new(
                variant.fields.span(),
                "`CacheKey` cannot be derived for a variant with fields: implement it by hand, or move the fields to a struct",
            );
            match &mut refused {
                Some(refused) => refused.combine(error),
                None => refused = Some(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(Self::Variants(names)),
        }
    }
}
