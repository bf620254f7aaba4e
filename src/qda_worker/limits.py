"""Limits of requests and responses, and the form of a bearer token.

`ListModels` returns the limits, and the comments of the proto document them. Only constants are here, so that the
client can check a request before it sends it.
"""

import re
from typing import Final

# Texts in a unary request, or in a chunk of a stream.
MAX_TEXTS: Final = 10_000

# Sentences of all texts of a request that includes them. Their results have 6 MB, and a CPU needs half an hour for
# them.
MAX_SENTENCES: Final = 100_000

# Bytes of one message from a client. gRPC itself refuses longer ones with RESOURCE_EXHAUSTED.
MAX_REQUEST_BYTES: Final = 16 * 2**20

# Bytes of one message to the plain-text health port. gRPC itself refuses longer ones with RESOURCE_EXHAUSTED.
MAX_HEALTH_REQUEST_BYTES: Final = 4 * 2**10

# Bytes of one message to a client. The largest dense response, 10,000 vectors of 1,024 float32, has 41 MB.
MAX_RESPONSE_BYTES: Final = 64 * 2**20

# Texts in each set of FindParaphrases. 100,000 vectors of 1,024 float32 take 0.4 GB.
MAX_SET_TEXTS: Final = 100_000

# Bytes of all texts of a FindParaphrases, both sets together; they are held until the last one is encoded. For 100,000
# texts that is 2,600 bytes each on average, ten times what the default paraphrase model reads of a text.
MAX_SEARCH_BYTES: Final = 256 * 2**20

# Bytes of an id in UTF-8.
MAX_ID_BYTES: Final = 256

# Field violations listed in one status: trailers must stay below 8 KiB.
MAX_VIOLATIONS: Final = 20

# Seconds; the shortest interval of keep-alive pings from clients. gRPC's default of 300 s would end the connections of
# clients that ping more often, with "too_many_pings".
MIN_PING_SECONDS: Final = 10

# Seconds that a stream of requests may take to send its first message, which is ready when the call begins.
FIRST_PART_SECONDS: Final = 10.0

# Seconds that a stream of requests may send nothing while no answer to it is being computed.
NEXT_PART_SECONDS: Final = 600.0

# A bearer token by RFC 6750, section 2.1 (`b64token`).
BEARER_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
