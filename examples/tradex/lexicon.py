"""Words that say what somebody thinks of a company, as they stand in normalised text: lower case, without accents."""

POSITIVE = (
    "looks strong",
    "adding on dips",
    "beats expectations",
    "guidance raised",
    "long",
    "rompe maximos",
    "mejores de lo esperado",
    "subindo forte",
    "starken zahlen",
)

NEGATIVE = (
    "not touching",
    "overvalued",
    "guidance cut",
    "ugly",
    "layoffs",
    "demasiado riesgo",
    "vendo",
    "recorta previsiones",
    "decepcionou",
    "bin ich raus",
)
