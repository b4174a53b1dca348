//! The implementation that is generated.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Attribute, DeriveInput, Error, GenericParam, Generics, LitStr, Member, Path, Type,
    ext::IdentExt, parse_quote,
};

use crate::shape::Shape;

pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream, Error> {
    let shape = Shape::of(&input)?;
    let krate = path_to_crate(&input.attrs)?;
    let (to_text, from_text) = match &shape {
        Shape::Newtype(field, ty) => newtype(&krate, field, ty),
        Shape::Several(fields) => several(&krate, fields),
        Shape::Unit => unit(&krate, &input.ident),
        Shape::Variants(names) => variants(&krate, names),
    };
    let name = &input.ident;
    let generics = bounded(input.generics.clone(), &shape, &krate);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #krate::CacheKey for #name #type_generics #where_clause {
            fn to_text(&self) -> ::std::borrow::Cow<'_, str> {
                #to_text
            }

            fn from_text(text: &str) -> ::std::result::Result<Self, #krate::KeyError> {
                #from_text
            }
        }
    })
}

/// `::cache_invalidation`, or what `#[cache_key(crate = "…")]` says.
fn path_to_crate(attributes: &[Attribute]) -> Result<Path, Error> {
    let mut path = parse_quote!(::cache_invalidation);
    for attribute in attributes {
        if !attribute.path().is_ident("cache_key") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown setting: only `crate = \"path\"` is known"));
            }
            path = meta.value()?.parse::<LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

/// The field's type must be a key where it depends on a parameter; else the compiler checks the field
/// itself, and says so there.
fn bounded(mut generics: Generics, shape: &Shape, krate: &Path) -> Generics {
    let types: Vec<&Type> = match shape {
        Shape::Newtype(_, ty) => vec![ty],
        Shape::Several(fields) => fields.iter().map(|(_, ty)| ty).collect(),
        Shape::Unit | Shape::Variants(_) => vec![],
    };
    let has_types = generics
        .params
        .iter()
        .any(|param| matches!(param, GenericParam::Type(_)));
    if has_types {
        let clause = generics.make_where_clause();
        for ty in types {
            clause.predicates.push(parse_quote!(#ty: #krate::CacheKey));
        }
    }
    generics
}

fn newtype(krate: &Path, field: &Member, ty: &Type) -> (TokenStream, TokenStream) {
    (
        quote! { <#ty as #krate::CacheKey>::to_text(&self.#field) },
        quote! {
            match <#ty as #krate::CacheKey>::from_text(text) {
                ::std::result::Result::Ok(value) => ::std::result::Result::Ok(Self { #field: value }),
                ::std::result::Result::Err(_) => {
                    ::std::result::Result::Err(#krate::KeyError::new::<Self>(text))
                }
            }
        },
    )
}

fn several(krate: &Path, fields: &[(Member, Type)]) -> (TokenStream, TokenStream) {
    let members: Vec<_> = fields.iter().map(|(member, _)| member).collect();
    let types: Vec<_> = fields.iter().map(|(_, ty)| ty).collect();
    let parts: Vec<_> = (0..fields.len())
        .map(|at| format_ident!("part_{at}"))
        .collect();
    (
        quote! {
            ::std::borrow::Cow::Owned(#krate::key_parts::join([
                #(<#types as #krate::CacheKey>::to_text(&self.#members)),*
            ]))
        },
        quote! {
            let parts = #krate::key_parts::split(text).and_then(|[#(#parts),*]| {
                ::std::option::Option::Some(Self {
                    #(#members: <#types as #krate::CacheKey>::from_text(&#parts).ok()?),*
                })
            });
            parts.ok_or_else(|| #krate::KeyError::new::<Self>(text))
        },
    )
}

fn unit(krate: &Path, name: &Ident) -> (TokenStream, TokenStream) {
    let text = name.unraw().to_string();
    (
        quote! { ::std::borrow::Cow::Borrowed(#text) },
        quote! {
            if text == #text {
                ::std::result::Result::Ok(Self {})
            } else {
                ::std::result::Result::Err(#krate::KeyError::new::<Self>(text))
            }
        },
    )
}

fn variants(krate: &Path, names: &[Ident]) -> (TokenStream, TokenStream) {
    let texts: Vec<_> = names.iter().map(|name| name.unraw().to_string()).collect();
    (
        quote! {
            ::std::borrow::Cow::Borrowed(match self {
                #(Self::#names { .. } => #texts),*
            })
        },
        quote! {
            match text {
                #(#texts => ::std::result::Result::Ok(Self::#names {}),)*
                _ => ::std::result::Result::Err(#krate::KeyError::new::<Self>(text)),
            }
        },
    )
}
