// OpenAI's own client for JavaScript; its runner runs tools and asks again.

import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'

const baseURL = `${process.argv[1]}/v1`
const { completions } = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 }).chat
const messages = [{ role: 'user', content: 'hi' }]
const parameters = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
}
const calls = []
const weather = {
  name: 'weather',
  description: 'the weather of a city',
  parameters,
  parse: JSON.parse,
  function: (args) => {
    calls.push(['weather', args])
    return 'warm'
  },
}

const chat = await completions.create({ model: 'plain', messages })
const stream = []
for await (const chunk of completions.stream({ model: 'plain', messages })) {
  const text = chunk.choices[0]?.delta?.content
  if (text) stream.push(text)
}
const tools = [{ type: 'function', function: weather }]
const runner = completions.runTools({ model: 'agent', messages, tools })
const parsed = await completions.parse({
  model: 'json',
  messages,
  response_format: zodResponseFormat(z.object({ answer: z.number() }), 'answer'),
})
console.log(
  JSON.stringify({
    dialect: 'openai',
    chat: chat.choices[0].message.content,
    stream,
    after: await runner.finalContent(),
    call: calls[0],
    answer: parsed.choices[0].message.parsed,
  }),
)
