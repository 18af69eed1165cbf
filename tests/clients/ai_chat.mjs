// Vercel's AI SDK over the OpenAI dialect; it runs tools and asks again.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const provider = createOpenAICompatible({
  name: 'local',
  baseURL: `${process.argv[1]}/v1`,
  supportsStructuredOutputs: true,
})
const asked = (name) => ({ model: provider(name), prompt: 'hi', maxRetries: 0 })
const calls = []
const weather = tool({
  description: 'the weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async (args) => {
    calls.push(['weather', args])
    return 'warm'
  },
})

const chat = await generateText(asked('plain'))
const stream = []
for await (const text of streamText(asked('plain')).textStream) stream.push(text)
const agent = await generateText({
  ...asked('agent'),
  tools: { weather },
  stopWhen: stepCountIs(3),
})
const schema = z.object({ answer: z.number() })
const parsed = await generateText({ ...asked('json'), output: Output.object({ schema }) })
console.log(
  JSON.stringify({
    dialect: 'openai',
    chat: chat.text,
    stream,
    after: agent.text,
    call: calls[0],
    answer: parsed.output,
  }),
)
