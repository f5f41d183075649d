"""LangChain: chat, vectors (it sends tokens in place of texts) and structured output."""

import pytest

from tests.e2e.langchain_client import LangChain, install_langchain
from tests.serving import RunningServer

SCRIPT = """
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int | None = None

chat = ChatOpenAI(model="gpt-4o", max_tokens=60, max_retries=0)
vectors = OpenAIEmbeddings(model="text-embedding-3-small", max_retries=0)
told = {
    "said": chat.invoke([("system", "Be brief."), ("human", "Name a colour.")]).content,
    "streamed": "".join(chunk.content for chunk in chat.stream("Name a colour.")),
    "person": chat.with_structured_output(Person, method="json_schema").invoke("Ada is 36.").model_dump(),
    "documents": vectors.embed_documents(["The cat sleeps.", "Interest rates rose."]),
    "question": vectors.embed_query("The cat sleeps."),
}
"""


@pytest.fixture(scope="module")
def langchain(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> LangChain:
    return install_langchain(tmp_path_factory.mktemp("langchain"), f"{server.url}/v1")


def test_langchain_chats_embeds_and_gets_structured_output(langchain: LangChain) -> None:
    told = langchain.run(SCRIPT)
    assert told["said"]
    assert told["streamed"]
    assert set(told["person"]) == {"name", "age"}
    cat, rates = told["documents"]
    assert told["question"] == pytest.approx(cat, abs=1e-5)
    assert sum(a * b for a, b in zip(cat, rates, strict=True)) < 0.9
