//! The bundled client.
