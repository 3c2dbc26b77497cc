/** A template with its parameters put in: what CloudFormation would make, as far as it can be known without asking. */
import type { Json, JsonObject, Template } from './cloudformation.ts'

export interface ResolvedPlace {
  readonly region: string
  readonly account: string
  readonly partition: string
}

export interface ResolvedResource {
  readonly type: string
  readonly name: string
  readonly purpose: string
  readonly properties: JsonObject
}

export interface Resolved {
  /** By logical id, only those whose condition holds, in the template's order. */
  readonly resources: ReadonlyMap<string, ResolvedResource>
  readonly outputs: ReadonlyMap<string, Json>
}

export type ParameterValues = Readonly<Record<string, string>>

/** Throws where the template uses what this does not know, or a parameter has no value. */
export function resolveTemplate(template: Template, values: ParameterValues, place: ResolvedPlace): Resolved {
  const resolver = new Resolver(template, values, place)
  const resources = new Map(
    Object.entries(template.Resources)
      .filter(([, { Condition }]) => Condition === undefined || resolver.holds(Condition))
      .map(([id, { Type, Metadata }]) => [
        id,
        { type: Type, name: resolver.nameOf(id), purpose: Metadata.Purpose, properties: resolver.propertiesOf(id) },
      ]),
  )
  const outputs = Object.entries(template.Outputs).filter(([, { Condition }]) => Condition === undefined || resolver.holds(Condition))
  return { resources, outputs: new Map(outputs.map(([name, { Value }]) => [name, resolver.value(Value) ?? null])) }
}

/** Which property is the name of a resource, and what its ARN ends with. */
const naming: Readonly<Record<string, { readonly property: string; readonly arn: (name: string) => string }>> = {
  'AWS::IAM::Role': { property: 'RoleName', arn: (name) => `iam:::role/${name}` },
  'AWS::IAM::ManagedPolicy': { property: 'ManagedPolicyName', arn: (name) => `iam:::policy/${name}` },
  'AWS::Logs::LogGroup': { property: 'LogGroupName', arn: (name) => `logs:::log-group:${name}` },
  'AWS::Lambda::Function': { property: 'FunctionName', arn: (name) => `lambda:::function:${name}` },
  'AWS::IoT::Authorizer': { property: 'AuthorizerName', arn: (name) => `iot:::authorizer/${name}` },
  'AWS::IoT::TopicRule': { property: 'RuleName', arn: (name) => `iot:::rule/${name}` },
  'AWS::SQS::Queue': { property: 'QueueName', arn: (name) => `sqs:::${name}` },
  'AWS::CloudWatch::Alarm': { property: 'AlarmName', arn: (name) => `cloudwatch:::alarm:${name}` },
}

class Resolver {
  readonly #template: Template
  readonly #values: ParameterValues
  readonly #place: ResolvedPlace

  constructor(template: Template, values: ParameterValues, place: ResolvedPlace) {
    this.#template = template
    this.#values = values
    this.#place = place
  }

  holds(condition: string): boolean {
    const expression = this.#template.Conditions[condition]
    if (expression === undefined) throw new Error(`the template has no condition ${condition}`)
    return this.#truth(expression as JsonObject)
  }

  nameOf(id: string): string {
    const { property } = this.#namingOf(id)
    // What only ties others together has no name of its own.
    return property === undefined ? id : this.#textOf(this.#resource(id).Properties[property] ?? id)
  }

  propertiesOf(id: string): JsonObject {
    return this.value(this.#resource(id).Properties) as JsonObject
  }

  /** Undefined: `AWS::NoValue`, and whoever holds it goes without. */
  value(json: Json): Json | undefined {
    if (json === null || typeof json !== 'object') return json
    if (isList(json)) return json.map((each) => this.value(each)).filter((each) => each !== undefined)
    const [[name, argument] = ['', null], ...others] = Object.entries(json)
    if (others.length === 0 && (name === 'Ref' || name.startsWith('Fn::'))) return this.#call(name, argument)
    const entries = Object.entries(json).map(([key, each]) => [key, this.value(each)] as const)
    return Object.fromEntries(entries.filter((entry): entry is [string, Json] => entry[1] !== undefined))
  }

  #call(name: string, argument: Json): Json | undefined {
    switch (name) {
      case 'Ref':
        return this.#ref(argument as string)
      case 'Fn::Sub':
        return (argument as string).replaceAll(/\$\{([^}]+)\}/g, (_whole, key: string) => this.#textOf({ Ref: key }))
      case 'Fn::If': {
        const [condition, then, otherwise] = argument as readonly [string, Json, Json]
        return this.value(this.holds(condition) ? then : otherwise)
      }
      case 'Fn::Join': {
        const [separator, parts] = argument as readonly [string, Json]
        return (this.value(parts) as readonly string[]).join(separator)
      }
      case 'Fn::Split': {
        const [separator, text] = argument as readonly [string, Json]
        return this.#textOf(text).split(separator)
      }
      case 'Fn::GetAtt': {
        const [id, attribute] = argument as readonly [string, string]
        return attribute === 'Arn' ? this.#arnOf(id) : this.nameOf(id)
      }
      default:
        throw new Error(`${name} is not known here`)
    }
  }

  /** Throws where it is no text. */
  #textOf(json: Json): string {
    const value = this.value(json)
    if (typeof value !== 'string') throw new Error(`${JSON.stringify(json)} is no text`)
    return value
  }

  #ref(name: string): Json | undefined {
    const { region, account, partition } = this.#place
    const pseudo: Readonly<Record<string, string>> = { 'AWS::Region': region, 'AWS::AccountId': account, 'AWS::Partition': partition }
    if (name === 'AWS::NoValue') return undefined
    const preset = this.#template.Parameters[name]?.Default
    const value = pseudo[name] ?? this.#values[name] ?? (preset === undefined ? undefined : String(preset))
    if (value !== undefined) return value
    if (!(name in this.#template.Resources)) throw new Error(`the parameter ${name} has no value`)
    const { Type } = this.#resource(name)
    if (Type === 'AWS::SQS::Queue')
      return `https://sqs.${region}.amazonaws.com${partition === 'aws-cn' ? '.cn' : ''}/${account}/${this.nameOf(name)}`
    return Type === 'AWS::IAM::ManagedPolicy' ? this.#arnOf(name) : this.nameOf(name)
  }

  #arnOf(id: string): string {
    const { region, account, partition } = this.#place
    const { arn } = this.#namingOf(id)
    if (arn === undefined) throw new Error(`${id} has no ARN`)
    const [service, , , ...rest] = arn(this.nameOf(id)).split(':')
    return ['arn', partition, service, service === 'iam' ? '' : region, account, ...rest].join(':')
  }

  #truth(expression: JsonObject): boolean {
    const { 'Fn::Not': not, 'Fn::Equals': equals } = expression
    if (not !== undefined) return !this.#truth((not as readonly JsonObject[])[0] as JsonObject)
    if (!isList(equals as Json)) throw new Error(`the condition ${JSON.stringify(expression)} is not known here`)
    const [left, right] = (equals as readonly Json[]).map((side) => this.value(side))
    return left === right
  }

  #resource(id: string): Template['Resources'][string] {
    const resource = this.#template.Resources[id]
    if (!resource) throw new Error(`the template has no resource ${id}`)
    return resource
  }

  #namingOf(id: string): { readonly property?: string; readonly arn?: (name: string) => string } {
    return naming[this.#resource(id).Type] ?? {}
  }
}

function isList(json: Json): json is readonly Json[] {
  return Array.isArray(json)
}
