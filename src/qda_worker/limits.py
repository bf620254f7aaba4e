"""What a request may hold. `ListModels` announces these, and the proto's comments state them.

Plain constants, so that the client may check before it sends.
"""

from typing import Final

# Texts in a unary request, or in a chunk of a stream.
MAX_TEXTS: Final = 10_000

# Sentences of all texts of a request that asks for them: their results are 6 MB, and a CPU has half an
# hour's work.
MAX_SENTENCES: Final = 100_000

# Bytes of one message from a client; gRPC itself refuses longer ones with RESOURCE_EXHAUSTED.
MAX_REQUEST_BYTES: Final = 16 * 2**20

# Bytes of one message to a client: the largest dense answer, 10,000 vectors of 1,024 float32, is 41 MB.
MAX_RESPONSE_BYTES: Final = 64 * 2**20

# Texts in each set of FindParaphrases: 100,000 vectors of 1,024 float32 are 0.4 GB.
MAX_SET_TEXTS: Final = 100_000

# Bytes of all texts of a FindParaphrases, both sets together: they are held until the last is encoded. On
# the average 2,600 a text where there are 100,000, ten times what the default paraphrase model reads of
# one.
MAX_SEARCH_BYTES: Final = 256 * 2**20

# Bytes of an id in UTF-8.
MAX_ID_BYTES: Final = 256

# Field violations told in one status: trailers must stay below 8 KiB.
MAX_VIOLATIONS: Final = 20

# The shortest interval at which clients may ping. gRPC's own default, 300 s, would cut off clients that
# look for dead connections, with "too_many_pings".
MIN_PING_SECONDS: Final = 10
