"""Writes a llama model so small that it needs no download, and so simple that its words are known.

A token is a unit vector, the one transformer block adds nothing to it, and the output matrix says which
token follows which. So the model says SENTENCE whatever it is asked, at any temperature; or, when the
prompt's last token is a blank instead of a line end, it calls the tool `get_weather` with CITY. The chat
template ends the prompt with a blank when there are tools and the user asks to "use a tool".

File format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import array
import struct
import sys

WORDS = ["The", " gate", " stands", " open", ";", " show", " your", " papers", "."]
SENTENCE = "".join(WORDS)
CITY = "Kyoto"
CALL = ["<tool_call>", '\n{"name": "', "get_weather", '", "arguments": {"city": "', CITY, '"}}\n', "</tool_call>"]
END, TURN = "<|im_end|>", "<|im_start|>"
MARKS = ["<tool_call>", "</tool_call>"]
# The likelihood of what follows; everything else has none. The norm before the output matrix multiplies
# it by the root of the width, so it beats three hundred others at any temperature.
SURE = 4.0
ALIGNMENT = 32
TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call <tools>{% for tool in tools %}{{ tool.function.name }} {% endfor %}</tools> so:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{%- if tools and messages[-1].role == "user" and "use a tool" in (messages[-1].content | string) %} {% else %}
{% endif %}{% endif %}"""


def letters():
    """For each byte the character by which byte-level vocabularies write it: itself where it can be
    seen, otherwise the next free one from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


LETTERS = letters()


def spelt(text):
    return "".join(LETTERS[byte] for byte in text.encode())


def vocabulary():
    """Tokens with their kinds: 3 is for control, 4 is matched and shown as it stands, 1 is ordinary."""
    words = [spelt(word) for word in WORDS + CALL if word not in MARKS]
    tokens = [END, TURN, *MARKS, *LETTERS.values()]
    tokens += [word for word in dict.fromkeys(words) if word not in tokens]
    kinds = [3, 3, 4, 4] + [1] * (len(tokens) - 4)
    return tokens, kinds


def follower_matrix(tokens, width):
    """Row `b`, column `a`: how sure it is that `b` follows `a`."""
    place = {token: at for at, token in enumerate(tokens)}
    at = lambda word: place[word if word in place else spelt(word)]
    sentence, call = [at(word) for word in WORDS], [at(word) for word in CALL]
    follows = {a: sentence[0] for a in range(len(tokens))}
    follows |= dict(zip(sentence, [*sentence[1:], place[END]]))
    follows |= dict(zip([at(" "), *call], [*call, place[END]]))
    matrix = array.array("f", bytes(4 * len(tokens) * width))
    for a, b in follows.items():
        matrix[b * width + a] = SURE
    return matrix


def tensors(tokens, width, head, inner):
    """Name, shape with the innermost dimension first, and values; nothing stands for zeros."""
    count = len(tokens)
    same = array.array("f", bytes(4 * count * width))
    for at in range(count):
        same[at * width + at] = 1.0
    ones = array.array("f", [1.0] * width)
    yield "token_embd.weight", (width, count), same
    yield "output_norm.weight", (width,), ones
    yield "output.weight", (width, count), follower_matrix(tokens, width)
    yield "blk.0.attn_norm.weight", (width,), ones
    yield "blk.0.ffn_norm.weight", (width,), ones
    for name in ["attn_q", "attn_k", "attn_v"]:
        yield f"blk.0.{name}.weight", (width, head), None
    yield "blk.0.attn_output.weight", (head, width), None
    for name in ["ffn_gate", "ffn_up"]:
        yield f"blk.0.{name}.weight", (width, inner), None
    yield "blk.0.ffn_down.weight", (inner, width), None


def facts(tokens, kinds, width, head, inner):
    llama = {
        "context_length": 8192, "embedding_length": width, "block_count": 1, "feed_forward_length": inner,
        "attention.head_count": 1, "attention.head_count_kv": 1, "attention.key_length": head,
        "attention.value_length": head, "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": head, "vocab_size": len(tokens),
    }
    tokenizer = {
        # A list of merges must not be empty; this one changes nothing that matters.
        "ggml.model": "gpt2", "ggml.pre": "default", "ggml.tokens": tokens, "ggml.token_type": kinds,
        "ggml.merges": ["t h"], "ggml.bos_token_id": 1, "ggml.eos_token_id": 0, "ggml.padding_token_id": 0,
        "ggml.add_bos_token": False, "chat_template": TEMPLATE,
    }
    yield "general.architecture", "llama"
    yield "general.name", "tiny"
    yield from ((f"llama.{name}", value) for name, value in llama.items())
    yield from ((f"tokenizer.{name}", value) for name, value in tokenizer.items())


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def typed(value):
    """The number of a value's type, and the value's bytes."""
    match value:
        case bool():
            return 7, struct.pack("<?", value)
        case int():
            return 4, struct.pack("<I", value)
        case float():
            return 6, struct.pack("<f", value)
        case str():
            return 8, string(value)
        case list() if isinstance(value[0], int):
            return 9, struct.pack(f"<IQ{len(value)}i", 5, len(value), *value)
        case list():
            return 9, struct.pack("<IQ", 8, len(value)) + b"".join(map(string, value))


def padded(data):
    return data + bytes(-len(data) % ALIGNMENT)


def write(path):
    tokens, kinds = vocabulary()
    width, head, inner = (len(tokens) + 31) // 32 * 32, 32, 32
    pairs = [string(name) + struct.pack("<I", kind) + data
             for name, (kind, data) in ((name, typed(value)) for name, value in facts(tokens, kinds, width, head, inner))]
    infos, data = [], b""
    for name, shape, values in tensors(tokens, width, head, inner):
        size = 1
        for dimension in shape:
            size *= dimension
        infos.append(string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data)))
        data += padded(values.tobytes() if values else bytes(4 * size))
    start = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs + infos)
    with open(path, "wb") as file:
        file.write(padded(start) + data)


if __name__ == "__main__":
    write(sys.argv[1])
