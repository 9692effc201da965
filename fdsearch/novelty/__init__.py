"""How unlike the known pictures a picture is: numbers alone, for selection and for serving."""
